//! Creating and finding Datanets.

use schemas::alloy_primitives::keccak256;
use schemas::ids::{DatanetId, typed_address};
use schemas::tables::{DatanetRow, Millis};
use schemas::{Address, B256, canonical, hashing};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Ingest, IngestConfig, IngestError, Result, duplicates, screening};

const MAX_TITLE_CHARS: usize = 200;
const MAX_DESCRIPTION_CHARS: usize = 10_000;
const MAX_TOPIC_CHARS: usize = 2_000;
pub(crate) const MAX_CURATORS: usize = 100;

/// A Datanet to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDatanet {
    /// 3 to 40 lower-case letters, digits and hyphens; starts with a letter, and no hyphen at the end.
    pub name: String,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// What belongs here, in words.
    pub topic: String,
    /// Who may accept, reject and publish; in any order.
    #[serde(deserialize_with = "typed_address::list")]
    pub curators: Vec<Address>,
}

impl Ingest {
    /// Creates a Datanet, or returns the one of this name when it is the same in everything.
    ///
    /// # Errors
    /// [`IngestError::InvalidRequest`] for a malformed field, [`IngestError::Conflict`] when the name is
    /// taken by a Datanet with other content.
    pub async fn create_datanet(&self, new: NewDatanet) -> Result<DatanetRow> {
        let row = new_row(new, self.config())?;
        let _held = self.inner.decisions.lock().await;
        if self.find_datanet(row.datanet_id).await?.is_none() {
            self.store().insert_new(&[row.clone()]).await?;
            tracing::info!(datanet = %row.datanet_id, name = row.name, curators = row.curators.len(), "datanet created");
        }
        let existing = self.find_datanet(row.datanet_id).await?.unwrap_or_else(|| row.clone());
        // The policy may be a later one than the Datanet was created under.
        if existing.metadata_hash != row.metadata_hash || existing.curators != row.curators {
            return Err(IngestError::Conflict(format!(
                "a Datanet named {:?} exists with another title, description, topic or set of curators; choose another name",
                row.name
            )));
        }
        self.with_curators(existing).await
    }

    /// The Datanet of this name, or of this id, with those who are its curators now.
    ///
    /// # Errors
    /// [`IngestError::NotFound`].
    pub async fn datanet(&self, name_or_id: &str) -> Result<DatanetRow> {
        // A name cannot be taken for an id: it is too short.
        let id = name_or_id.parse().unwrap_or_else(|_| hashing::datanet_id(self.config().owner, name_or_id));
        let Some(found) = self.find_datanet(id).await? else {
            let shown: String = name_or_id.chars().take(80).collect();
            let names: Vec<String> = self.datanets().await?.into_iter().map(|row| row.name).collect();
            return Err(IngestError::NotFound(format!("there is no Datanet {shown:?}; there are: {}", names.join(", "))));
        };
        self.with_curators(found).await
    }

    /// All Datanets, oldest first.
    ///
    /// # Errors
    /// [`IngestError::Store`].
    pub async fn datanets(&self) -> Result<Vec<DatanetRow>> {
        let mut rows = self.store().scan::<DatanetRow>(None).await?;
        rows.sort_by_key(|row| (row.created_at, row.datanet_id));
        let mut datanets = Vec::with_capacity(rows.len());
        for row in rows {
            datanets.push(self.with_curators(row).await?);
        }
        Ok(datanets)
    }

    /// As it was created.
    async fn find_datanet(&self, id: DatanetId) -> Result<Option<DatanetRow>> {
        Ok(self.store().scan::<DatanetRow>(Some(&format!("datanet_id = '{id}'"))).await?.into_iter().next())
    }
}

fn new_row(new: NewDatanet, config: &IngestConfig) -> Result<DatanetRow> {
    check_name(&new.name)?;
    check_text("title", &new.title, 1, MAX_TITLE_CHARS)?;
    check_text("description", &new.description, 0, MAX_DESCRIPTION_CHARS)?;
    check_text("topic", &new.topic, 1, MAX_TOPIC_CHARS)?;
    let mut curators = new.curators;
    curators.sort();
    curators.dedup();
    if curators.is_empty() || curators.len() > MAX_CURATORS || curators.contains(&Address::ZERO) {
        return Err(IngestError::InvalidRequest(format!(
            "a Datanet needs 1 to {MAX_CURATORS} curators, none of them the zero address; {} given",
            curators.len()
        )));
    }
    let metadata = json!({ "name": new.name, "title": new.title, "description": new.description, "topic": new.topic });
    Ok(DatanetRow {
        datanet_id: hashing::datanet_id(config.owner, &new.name),
        owner: config.owner,
        metadata_hash: hash_json(&metadata)?,
        policy_hash: hash_json(&policy(config))?,
        name: new.name,
        title: new.title,
        description: new.description,
        topic: new.topic,
        curators,
        created_at: Millis::now(),
    })
}

/// What uploads are screened by.
fn policy(config: &IngestConfig) -> serde_json::Value {
    json!({
        "screening": screening::SCREENING,
        "duplicates": duplicates::COMPARISON,
        "near_duplicate_ppm": config.near_duplicate_ppm,
        "target_chunk_tokens": config.target_chunk_tokens,
    })
}

/// keccak256 of the canonical JSON of `value`.
pub(crate) fn hash_json(value: &serde_json::Value) -> Result<B256> {
    Ok(keccak256(canonical::to_string(value)?))
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
    if (3..=40).contains(&name.len()) && name.chars().all(allowed) && ends {
        return Ok(());
    }
    let shown: String = name.chars().take(60).collect();
    Err(IngestError::InvalidRequest(format!(
        "{shown:?} is no Datanet name: it takes 3 to 40 of a-z, 0-9 and hyphens, starts with a letter and does not end in a hyphen"
    )))
}

/// Words for people to read: bounded, and nothing in them hidden.
pub(crate) fn check_text(field: &str, text: &str, least: usize, most: usize) -> Result<()> {
    let length = text.trim().chars().count();
    if length < least || text.chars().count() > most {
        return Err(IngestError::InvalidRequest(format!("the {field} must have {least} to {most} characters; it has {length}")));
    }
    let unseen = |c: char| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || crate::characters::is_hidden(c);
    if let Some(at) = text.chars().position(unseen) {
        return Err(IngestError::InvalidRequest(format!(
            "character {} of the {field} is invisible or a control character; remove it",
            at + 1
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["abc", "cold-chain", "a1-2", &"a".repeat(40)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "-abc", "abc-", "Abc", "a_b", "1abc", "ärzte", &"a".repeat(41), "a b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_are_bounded_and_visible() {
        assert!(check_text("title", "Größe\nzwei", 1, 20).is_ok());
        for bad in ["", "  ", "a\u{0}", "a\u{202e}b", &"x".repeat(21)] {
            assert!(check_text("title", bad, 1, 20).is_err(), "{bad:?}");
        }
    }
}
