//! `headwater models list`.

use engine::models;
use serde_json::json;

use super::state_word;
use crate::config::Config;
use crate::output::{Report, table};

pub(super) fn list(config: &Config) -> anyhow::Result<Report> {
    let root = config.models_dir();
    let used = |name: &str| if name == config.generator.model || name == config.models.embedder { "✓" } else { "" };
    let mut rows = Vec::new();
    let mut json_rows = Vec::new();
    for spec in models::catalogue() {
        let state = state_word(&models::inspect(&root, spec)?);
        let licence = spec.licence.to_owned();
        rows.push([
            spec.name.to_owned(),
            used(spec.name).to_owned(),
            state.to_owned(),
            size(spec.bytes()),
            licence,
            spec.description.to_owned(),
        ]);
        json_rows.push(json!({ "name": spec.name, "kind": "embedder", "state": state, "bytes": spec.bytes(), "licence": spec.licence }));
    }
    for model in models::installed(&root)? {
        let commit = model.commit.get(..12).unwrap_or(&model.commit);
        let what = format!("pulled from the hub at {commit}");
        rows.push([model.name.clone(), used(&model.name).to_owned(), "installed".into(), size(model.bytes), "–".into(), what]);
        json_rows.push(json!({
            "name": model.name, "kind": "generator", "state": "installed", "bytes": model.bytes, "path": model.path, "commit": model.commit,
        }));
    }
    let quote = "extractive answers, no weights";
    rows.push(["quote".into(), used("quote").to_owned(), "built in".into(), "–".into(), "–".into(), quote.into()]);
    json_rows.push(json!({ "name": "quote", "kind": "generator", "state": "built in" }));
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    Ok(Report::new(table(&["model", "used", "state", "size", "licence", "what for"], &rows), &json_rows))
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
