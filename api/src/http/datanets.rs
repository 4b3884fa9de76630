//! Datanets and their versions.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use indexer::events;
use ingest::{IngestError, NewDatanet, Preview, QueueItem, QueuePlace, SignedCuratorChange, SignedPublication};
use schemas::tables::{DatanetRow, ForeignVersionRow, VersionRow};
use serde_json::{Value, json};
use store::Finality;

use super::pages::{AskedPage, bounds, not_listed, page};
use super::{App, Insider, Reply};
use crate::service::reconcile;

pub(super) async fn list(State(service): State<App>, asked: AskedPage) -> Reply<Json<Vec<DatanetRow>>> {
    page(asked, service.ingest.datanets().await?, |row| row.datanet_id.to_string()).map(Json)
}

pub(super) async fn create(State(service): State<App>, body: Result<Json<NewDatanet>, JsonRejection>) -> Reply<Json<DatanetRow>> {
    Ok(Json(service.ingest.create_datanet(body?.0).await?))
}

/// Documents that wait for a decision, then the others, a page at a time: after `pending:DOCUMENT` or `decided:DOCUMENT`, so that
/// one that is decided meanwhile takes nothing with it to the end.
pub(super) async fn queue(
    State(service): State<App>,
    insider: Insider,
    Path(name): Path<String>,
    asked: AskedPage,
) -> Reply<Json<Vec<QueueItem>>> {
    let datanet = service.ingest.datanet(&name).await?;
    insider.may_see(datanet.datanet_id)?;
    let (limit, after) = bounds(asked)?;
    let place = match &after {
        Some(after) => Some(queue_place(after).ok_or_else(|| not_listed(after))?),
        None => None,
    };
    match service.ingest.queue(datanet.datanet_id, place, limit).await {
        Err(IngestError::NotFound(_)) if after.is_some() => Err(not_listed(&after.unwrap_or_default())),
        items => Ok(Json(items?)),
    }
}

fn queue_place(text: &str) -> Option<QueuePlace> {
    let (part, id) = text.split_once(':')?;
    let is_pending = match part {
        "pending" => true,
        "decided" => false,
        _ => return None,
    };
    Some(QueuePlace { is_pending, document_id: id.parse().ok()? })
}

pub(super) async fn preview(State(service): State<App>, insider: Insider, Path(name): Path<String>) -> Reply<Json<Preview>> {
    let datanet = service.ingest.datanet(&name).await?;
    insider.may_see(datanet.datanet_id)?;
    Ok(Json(service.ingest.preview(datanet.datanet_id).await?))
}

/// Signed by a curator: the signature is the authorisation.
pub(super) async fn publish(
    State(service): State<App>,
    Path(name): Path<String>,
    body: Result<Json<SignedPublication>, JsonRejection>,
) -> Reply<Json<VersionRow>> {
    let publication = body?.0;
    let datanet = service.ingest.datanet(&name).await?;
    if datanet.datanet_id != publication.datanet {
        return Err(super::ApiError::bad_request(format!("the publication is for Datanet {}, not for {name:?}", publication.datanet)));
    }
    Ok(Json(service.ingest.publish(publication).await?))
}

/// Signed by the Datanet's owner: the signature is the authorisation.
pub(super) async fn change_curator(
    State(service): State<App>,
    Path(name): Path<String>,
    body: Result<Json<SignedCuratorChange>, JsonRejection>,
) -> Reply<Json<DatanetRow>> {
    let change = body?.0;
    let datanet = service.ingest.datanet(&name).await?;
    if datanet.datanet_id != change.datanet {
        return Err(super::ApiError::bad_request(format!("the change is for Datanet {}, not for {name:?}", change.datanet)));
    }
    Ok(Json(service.ingest.change_curator(change).await?))
}

/// Who may decide, and every change of it.
pub(super) async fn curators(State(service): State<App>, Path(name): Path<String>) -> Reply<Json<Value>> {
    let datanet = service.ingest.datanet(&name).await?;
    let changes = service.ingest.curator_changes(datanet.datanet_id).await?;
    Ok(Json(json!({ "datanet_id": datanet.datanet_id, "owner": datanet.owner, "curators": datanet.curators, "changes": changes })))
}

/// Builds on what stands on chain and is final, though it was not published here.
pub(super) async fn accept_fork(State(service): State<App>, Path(name): Path<String>) -> Reply<Json<Vec<ForeignVersionRow>>> {
    let datanet = service.ingest.datanet(&name).await?;
    let anchored = reconcile::anchored(&service, Finality::Finalized).await?;
    Ok(Json(service.ingest.accept_fork(datanet.datanet_id, &anchored).await?))
}

/// Published versions, and how far each is anchored: `pending`, `included` or `final`.
pub(super) async fn versions(State(service): State<App>, Path(name): Path<String>, asked: AskedPage) -> Reply<Json<Vec<Value>>> {
    let datanet = service.ingest.datanet(&name).await?;
    let included = events::versions_committed(&service.store, &service.deployment, Finality::Any).await?;
    let finalized = events::versions_committed(&service.store, &service.deployment, Finality::Finalized).await?;
    let rows = page(asked, service.ingest.versions(datanet.datanet_id).await?, |row| row.version.to_string())?;
    let listed = rows.into_iter().map(|row| {
        let has = |events: &[events::CommittedVersion]| {
            events.iter().any(|event| event.datanet_id == row.datanet_id && event.version == row.version && event.root == row.root)
        };
        let anchor = match (has(&finalized), has(&included)) {
            (true, _) => "final",
            (false, true) => "included",
            (false, false) => "pending",
        };
        json!({ "version": row, "anchor": anchor })
    });
    Ok(Json(listed.collect()))
}

#[cfg(test)]
mod tests {
    use schemas::B256;
    use schemas::ids::DocumentId;

    use super::*;

    #[test]
    fn a_place_in_a_queue_names_its_part() {
        let document_id = DocumentId(B256::repeat_byte(4));
        let place = |part: &str| queue_place(&format!("{part}:{document_id}"));
        assert_eq!(place("pending"), Some(QueuePlace { is_pending: true, document_id }));
        assert_eq!(place("decided"), Some(QueuePlace { is_pending: false, document_id }));
        for wrong in [format!("all:{document_id}"), document_id.to_string(), "pending:4".into(), String::new()] {
            assert_eq!(queue_place(&wrong), None, "{wrong}");
        }
    }
}
