//! What a model in a folder is for, as far as its `config.json` says.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Models of the BERT family: they read a text and write none.
const ENCODERS: [&str; 4] = ["bert", "roberta", "xlm-roberta", "modernbert"];
/// How classes of Python's end whose models give a text a score.
const CLASSIFIER: &str = "ForSequenceClassification";

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// A text to a vector.
    Embedder,
    /// A question and a passage to a score.
    Reranker,
    /// Writes.
    Generator,
}

#[derive(Deserialize)]
struct Config {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
}

impl ModelKind {
    /// Of a folder or a file. What says nothing that is understood is taken for a generator: whoever opens it is told what is wrong.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let Some(config) = read(path) else { return Self::Generator };
        let is_encoder = config.model_type.is_some_and(|kind| ENCODERS.contains(&kind.as_str()));
        let classifies = config.architectures.iter().flatten().any(|class| class.ends_with(CLASSIFIER));
        match (is_encoder, classifies) {
            (true, true) => Self::Reranker,
            (true, false) => Self::Embedder,
            (false, _) => Self::Generator,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedder => "embedder",
            Self::Reranker => "reranker",
            Self::Generator => "generator",
        }
    }
}

fn read(path: &Path) -> Option<Config> {
    let (path, mut bytes) = (path.join("config.json"), Vec::new());
    // a pipe would keep whoever opens it waiting
    std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    File::open(path).ok()?.take(CONFIG_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_what_its_model_is_for() {
        let dir = tempfile::tempdir().expect("temp dir");
        for (config, kind) in [
            (r#"{"model_type": "bert", "architectures": ["BertModel"]}"#, ModelKind::Embedder),
            (r#"{"model_type": "modernbert"}"#, ModelKind::Embedder),
            (r#"{"model_type": "xlm-roberta", "architectures": ["XLMRobertaForSequenceClassification"]}"#, ModelKind::Reranker),
            (r#"{"model_type": "qwen2", "architectures": ["Qwen2ForSequenceClassification"]}"#, ModelKind::Generator),
            (r#"{"model_type": "llama"}"#, ModelKind::Generator),
            (r#"{"architectures": null}"#, ModelKind::Generator),
            ("[", ModelKind::Generator),
        ] {
            std::fs::write(dir.path().join("config.json"), config).expect("write");
            assert_eq!(ModelKind::of(dir.path()), kind, "{config}");
        }
        assert_eq!(ModelKind::of(&dir.path().join("nowhere")), ModelKind::Generator);
    }
}
