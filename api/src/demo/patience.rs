//! Waiting for what the chain and the service do in their own time. A slow machine is waited for as long as anything moves.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;

use super::Stage;
use crate::cli::Context;

/// How long the chain may stand still, and the same thing may be wrong: nothing gets slower by this.
const STANDSTILL: Duration = Duration::from_secs(1800);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where things stand, as far as it tells whether anything moves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Position {
    blocks: Value,
    troubles: Value,
}

impl Position {
    fn of(status: &Value) -> Self {
        let (indexer, checks) = (&status["indexer"], &status["checks"]);
        let blocks = Value::from(vec![indexer["head"].clone(), indexer["indexed_finalized"].clone()]);
        let errors = [&checks["reconcilers"]["errors"], &checks["indexer"]["error"], &checks["indexer"]["alarm"]];
        let troubles = errors.into_iter().filter(|error| !error.is_null() && **error != Value::Object(serde_json::Map::new()));
        Self { blocks, troubles: troubles.cloned().collect() }
    }

    fn trouble(&self) -> Option<String> {
        self.troubles.as_array().filter(|troubles| !troubles.is_empty()).map(|_| self.troubles.to_string())
    }
}

/// Looks until `is_done`, and says what is waited for.
///
/// # Errors
/// What `is_done` says; and that the chain stands still, or that the service cannot go on.
pub(super) async fn until(
    context: &Context,
    stage: &Stage,
    what: &str,
    mut is_done: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    stage.doing(what);
    let (mut position, mut moved, mut well) = (Position::default(), Instant::now(), Instant::now());
    while !is_done().await? {
        let now = Position::of(&context.client()?.get("/v1/status").await?);
        if now.blocks != position.blocks {
            moved = Instant::now();
        }
        if now.troubles != position.troubles || now.trouble().is_none() {
            well = Instant::now();
        }
        if now.troubles != position.troubles {
            stage.doing(&now.trouble().map_or_else(|| what.to_owned(), |trouble| format!("{what}; the service says {trouble}")));
        }
        position = now;
        if moved.elapsed() > STANDSTILL {
            bail!("{what}: the chain has not moved for {} s", STANDSTILL.as_secs());
        }
        if well.elapsed() > STANDSTILL {
            bail!("{what}: for {} s the service has said {}", STANDSTILL.as_secs(), position.troubles);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn troubles_are_told_from_silence() {
        let status = |errors: Value, head: u64| {
            Position::of(&json!({
                "indexer": {"head": {"number": head}, "indexed_finalized": null},
                "checks": {"reconcilers": {"errors": errors}, "indexer": {"error": null, "alarm": null}},
            }))
        };
        assert_eq!(status(json!({}), 1).trouble(), None);
        assert_ne!(status(json!({}), 1).blocks, status(json!({}), 2).blocks);
        assert_eq!(status(json!({"anchors": "no gas"}), 1).trouble().unwrap(), r#"[{"anchors":"no gas"}]"#);
    }
}
