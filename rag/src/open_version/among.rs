//! Which members a question is asked of.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::ids::SubmissionId;
use schemas::receipt::Filter;
use schemas::tables::{Millis, SubmissionRow, TermsRow};

use super::OpenVersion;
use crate::statements::Origin;
use crate::{Result, blocking};

/// Members of one version: all, or those that a filter leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Among(Option<Arc<[bool]>>);

impl Among {
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the member at `position` is one of them.
    pub(crate) fn has(&self, position: usize) -> bool {
        self.0.as_ref().is_none_or(|members| members.get(position).copied().unwrap_or(false))
    }
}

/// Under which terms a submission was given, and when it was received.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    licence: String,
    received_at: Millis,
}

impl OpenVersion {
    /// The members that `filter` leaves.
    pub(crate) async fn among(self: &Arc<Self>, filter: Option<&Filter>) -> Result<Among> {
        let Some(filter) = filter else { return Ok(Among::default()) };
        let asks_terms = !filter.licences.is_empty() || filter.received_from_ms.is_some() || filter.received_before_ms.is_some();
        if asks_terms {
            self.terms.get_or_try_init(|| self.read_terms()).await?;
        }
        let (opened, filter) = (self.clone(), filter.clone());
        blocking(move || {
            let origins = &opened.members.origins;
            let terms = opened.terms.get().filter(|_| asks_terms);
            let left: Vec<bool> = origins.each().iter().map(|origin| leaves(&filter, origin, terms)).collect();
            let members = origins.of_chunks().iter().map(|at| left.get(*at as usize).copied().unwrap_or(false)).collect();
            Ok(Among(Some(members)))
        })
        .await
    }

    /// Of the Datanet's submissions; read once, when a filter asks for it.
    async fn read_terms(&self) -> Result<HashMap<SubmissionId, Terms>> {
        let filter = format!("datanet_id = '{}'", self.row.datanet_id);
        let rows: Vec<TermsRow> = self.store.scan_part::<SubmissionRow, _>(Some(&filter)).await?;
        let own: std::collections::HashSet<SubmissionId> = self.members.origins.each().iter().map(|origin| origin.submission).collect();
        let own = rows.into_iter().filter(|row| own.contains(&row.submission_id));
        Ok(own.map(|row| (row.submission_id, Terms { licence: row.licence, received_at: row.received_at })).collect())
    }
}

/// Whether a filter leaves the chunks of this origin; `terms` are there where it asks for any.
fn leaves(filter: &Filter, origin: &Origin, terms: Option<&HashMap<SubmissionId, Terms>>) -> bool {
    let has_terms = |terms: &HashMap<SubmissionId, Terms>| {
        let Some(Terms { licence, received_at }) = terms.get(&origin.submission) else { return false };
        (filter.licences.is_empty() || filter.licences.iter().any(|one| one.eq_ignore_ascii_case(licence)))
            && filter.received_from_ms.is_none_or(|from| received_at.0 >= from)
            && filter.received_before_ms.is_none_or(|before| received_at.0 < before)
    };
    (filter.contributors.is_empty() || filter.contributors.binary_search(&origin.contributor).is_ok())
        && (filter.documents.is_empty() || filter.documents.binary_search(&origin.document).is_ok())
        && terms.is_none_or(has_terms)
}
