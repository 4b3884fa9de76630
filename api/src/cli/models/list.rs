//! `headwater models list`.

use engine::models::{self, ModelKind};
use serde_json::{Value, json};

use super::state_word;
use crate::config::{Config, ModelFolder};
use crate::output::{Report, table};

/// A model, to a person and to a program.
struct Listed {
    cells: [String; 6],
    json: Value,
}

pub(super) fn list(config: &Config) -> anyhow::Result<Report> {
    let root = config.models_dir();
    let configured = [&config.generator.model, &config.models.embedder, &config.models.reranker];
    let used = |name: &str| if configured.iter().any(|configured| *configured == name) { "✓" } else { "" };
    let mut listed = Vec::new();
    for spec in models::catalogue() {
        let state = state_word(&models::inspect(&root, spec)?);
        listed.push(Listed {
            cells: [spec.name, used(spec.name), state, &size(spec.bytes()), spec.licence, spec.description].map(str::to_owned),
            json: json!({ "name": spec.name, "kind": "embedder", "state": state, "bytes": spec.bytes(), "licence": spec.licence }),
        });
    }
    for model in models::installed(&root)? {
        let commit = model.commit.get(..12).unwrap_or(&model.commit);
        let kind = ModelKind::of(&model.path).as_str();
        let what = format!("{kind}, pulled from the hub at {commit}");
        listed.push(Listed {
            cells: [model.name.as_str(), used(&model.name), "installed", &size(model.bytes), "–", &what].map(str::to_owned),
            json: json!({
                "name": model.name, "kind": kind, "state": "installed", "bytes": model.bytes, "path": model.path, "commit": model.commit,
            }),
        });
    }
    for (kind, named) in [(ModelKind::Embedder, &config.models.embedder), (ModelKind::Reranker, &config.models.reranker)] {
        if !named.is_empty() && listed.iter().all(|model| model.json["name"] != named.as_str()) {
            listed.push(elsewhere(kind, named, config));
        }
    }
    listed.push(Listed {
        cells: ["quote", used("quote"), "built in", "–", "–", "extractive answers, no weights"].map(str::to_owned),
        json: json!({ "name": "quote", "kind": "generator", "state": "built in" }),
    });
    let (rows, json): (Vec<Vec<String>>, Vec<Value>) = listed.into_iter().map(|model| (Vec::from(model.cells), model.json)).unzip();
    Ok(Report::new(table(&["model", "used", "state", "size", "licence", "what for"], &rows), &json))
}

/// What is configured and is neither known nor pulled: a folder, or nothing.
fn elsewhere(kind: ModelKind, named: &str, config: &Config) -> Listed {
    let kind = kind.as_str();
    let state = if ModelFolder::find(named, &config.models_dir()).is_ok() { "folder" } else { "missing" };
    let what = format!("{kind}, files that nothing pins");
    let cells = [named, "✓", state, "–", "–", &what].map(str::to_owned);
    Listed { cells, json: json!({ "name": named, "kind": kind, "state": state }) }
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULTS;

    #[test]
    fn what_is_configured_is_marked_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let mut config: Config = toml::from_str(DEFAULTS).unwrap();
        config.models.dir = folder.path().join("models");
        let states = |config: &Config| -> Vec<(String, String)> {
            let listed = list(config).unwrap().json;
            let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
            listed.as_array().unwrap().iter().map(|row| (text(row, "name"), text(row, "state"))).collect()
        };
        let row = |name: &str, state: &str| (name.to_owned(), state.to_owned());
        let (minilm, quote) = (row("all-MiniLM-L6-v2", "missing"), row("quote", "built in"));
        assert_eq!(states(&config), [minilm.clone(), quote.clone()]);
        let path = folder.path().to_str().unwrap();
        config.models.embedder = path.to_owned();
        config.models.reranker = "owner/ranker".to_owned();
        assert_eq!(states(&config), [minilm, row(path, "folder"), row("owner/ranker", "missing"), quote]);
        let text = list(&config).unwrap().text;
        assert_eq!(text.lines().filter(|line| line.contains('✓')).count(), 3, "{text}");
    }
}
