//! From the first token's vector to a score: a dense layer with tanh, and one row of weights.
//!
//! It is computed in f32 at every precision: it is a thousandth of the encoder's work, and its output is the result.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::files::safetensors::Safetensors;
use crate::kernels::{Cpu, Matrix, Product, Squash};

/// Where a kind of model keeps its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadKind {
    /// `BertForSequenceClassification`: the pooler, which belongs to the encoder, and a classifier.
    Bert,
    /// `RobertaForSequenceClassification` and XLM-R's: a classifier of two layers.
    Roberta,
}

#[derive(Deserialize)]
struct File {
    model_type: String,
    num_labels: Option<usize>,
    id2label: Option<Map<String, Value>>,
}

impl HeadKind {
    /// From a `config.json`.
    ///
    /// # Errors
    /// A sentence, where it is of another kind, or has not one label.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let parse = || {
            let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
            // transformers' default, which it leaves out of files, is two.
            let labels = file.num_labels.or(file.id2label.as_ref().map(Map::len)).unwrap_or(2);
            if labels != 1 || file.id2label.is_some_and(|names| names.len() != 1) {
                return Err("num_labels, id2label: a reranker has one label, and this is another classifier".to_owned());
            }
            match file.model_type.as_str() {
                "bert" => Ok(Self::Bert),
                "roberta" | "xlm-roberta" => Ok(Self::Roberta),
                other => Err(format!("a reranker of type {other:?}; bert, roberta and xlm-roberta are run")),
            }
        };
        parse().map_err(|reason| format!("config.json: {reason}"))
    }

    /// Names of the dense layer and of the row of weights.
    fn layers(self) -> (&'static str, &'static str) {
        match self {
            Self::Bert => ("bert.pooler.dense", "classifier"),
            Self::Roberta => ("classifier.dense", "classifier.out_proj"),
        }
    }
}

pub(super) struct Head {
    cpu: Cpu,
    /// `[width][width]`
    dense: Matrix<f32>,
    /// `[width]`
    weights: Vec<f32>,
    bias: f32,
}

impl Head {
    /// # Errors
    /// A sentence naming the tensor that is missing, misshapen or not finite.
    pub(super) fn load(tensors: &Safetensors<'_>, kind: HeadKind, width: usize, cpu: Cpu) -> Result<Self, String> {
        let (dense, output) = kind.layers();
        let read = |layer: &str, part: &str, shape: &[usize]| tensors.read(&format!("{layer}.{part}"), shape);
        let (matrix, shift) = (read(dense, "weight", &[width, width])?, read(dense, "bias", &[width])?);
        Ok(Self {
            cpu,
            dense: Matrix::pack(&matrix, &shift, cpu.panel_columns()),
            weights: read(output, "weight", &[1, width])?,
            bias: read(output, "bias", &[1])?.first().copied().unwrap_or_default(),
        })
    }

    /// One score per vector of `width` numbers. A vector's score does not depend on the others.
    ///
    /// # Errors
    /// A sentence, where a score is not finite.
    pub(super) fn scores(&self, vectors: &[Vec<f32>]) -> Result<Vec<f32>, String> {
        let (input, width) = (vectors.concat(), self.weights.len());
        debug_assert_eq!(input.len(), vectors.len() * width, "[vectors][width]");
        let mut squashed = vec![0.0; input.len()];
        let sink = Squash { out: &mut squashed, stride: width };
        self.cpu.multiply(Product { input: &input, rows: vectors.len(), weights: self.dense.all(), sink });
        squashed.chunks_exact(width).map(|row| self.score(row)).collect()
    }

    /// Summed in f64: as near to the exact sum as f32 can say, on every machine.
    fn score(&self, squashed: &[f32]) -> Result<f32, String> {
        let terms = squashed.iter().zip(&self.weights).map(|(number, weight)| f64::from(*number) * f64::from(*weight));
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant; what does not fit becomes infinite")]
        let score = (terms.sum::<f64>() + f64::from(self.bias)) as f32;
        if score.is_finite() { Ok(score) } else { Err("the model gave a score that is no finite number".to_owned()) }
    }
}
