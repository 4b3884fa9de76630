//! A BERT's tensors, checked, and packed for the processor at hand.

use std::sync::Mutex;

use super::{Bert, BertConfig, Layer, Norm};
use crate::kernels::{Buffer, Cpu, Element, Matrix};
use crate::safetensors::Safetensors;

/// What files put before every name: nothing, or the model inside a model with a head.
const PREFIXES: [&str; 3] = ["", "bert.", "roberta."];

/// A matrix `[columns][inner]` and its bias, row-major.
type Linear = (Vec<f32>, Vec<f32>);

struct Reader<'a> {
    tensors: &'a Safetensors<'a>,
    prefix: &'static str,
    cpu: Cpu,
}

impl<E: Element> Bert<E> {
    /// Reads and packs every weight, one tensor at a time. `window` tokens are the most that a text will have.
    ///
    /// # Errors
    /// A sentence naming the tensor that is missing, misshapen or not finite.
    pub(crate) fn load(tensors: &Safetensors<'_>, config: BertConfig, window: usize, cpu: Cpu) -> Result<Self, String> {
        let prefix = PREFIXES.into_iter().find(|prefix| tensors.contains(&format!("{prefix}{WORDS}")));
        let prefix = prefix.ok_or_else(|| format!("tensor {WORDS} is missing"))?;
        let reader = Reader { tensors, prefix, cpu };
        let words = reader.read(WORDS, &[config.vocabulary, config.width])?;
        let layers = (0..config.layers).map(|layer| reader.layer(&config, layer)).collect::<Result<_, _>>()?;
        Ok(Self {
            cpu,
            window,
            words: aligned(&words),
            positions: aligned(&reader.positions(&config, window)?),
            norm: reader.norm("embeddings.LayerNorm", config.width)?,
            layers,
            config,
            idle: Mutex::default(),
        })
    }
}

const WORDS: &str = "embeddings.word_embeddings.weight";

impl Reader<'_> {
    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        self.tensors.read(&format!("{}{name}", self.prefix), shape)
    }

    /// Rows of positions from the first that a token can have, each with the first token type's row added.
    fn positions(&self, config: &BertConfig, window: usize) -> Result<Vec<f32>, String> {
        let positions = self.read("embeddings.position_embeddings.weight", &[config.positions, config.width])?;
        let types = self.read("embeddings.token_type_embeddings.weight", &[config.token_types, config.width])?;
        let rows = positions.chunks_exact(config.width).skip(config.first_position).take(window);
        Ok(rows.flat_map(|row| row.iter().zip(&types).map(|(position, kind)| position + kind)).collect())
    }

    fn layer<E: Element>(&self, config: &BertConfig, layer: usize) -> Result<Layer<E>, String> {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let (width, inner_width) = (config.width, config.inner_width);
        Ok(Layer {
            projection: self.projection(config, layer)?,
            attention_output: self.pack(self.linear(&at("attention.output.dense"), width, width)?),
            attention_norm: self.norm(&at("attention.output.LayerNorm"), width)?,
            expansion: self.pack(self.linear(&at("intermediate.dense"), inner_width, width)?),
            contraction: self.pack(self.linear(&at("output.dense"), width, inner_width)?),
            norm: self.norm(&at("output.LayerNorm"), width)?,
        })
    }

    /// Queries, keys and values as one matrix. Attention divides scores by the root of the head's width: the queries are.
    fn projection<E: Element>(&self, config: &BertConfig, layer: usize) -> Result<Matrix<E>, String> {
        #[expect(clippy::cast_precision_loss, reason = "a width is below 2^24")]
        let scale = 1.0 / (config.head_width() as f32).sqrt();
        let part = |name: &str| self.linear(&format!("encoder.layer.{layer}.attention.self.{name}"), config.width, config.width);
        let (mut weights, mut bias) = part("query")?;
        weights.iter_mut().chain(&mut bias).for_each(|number| *number *= scale);
        for name in ["key", "value"] {
            let (more_weights, more_bias) = part(name)?;
            weights.extend(more_weights);
            bias.extend(more_bias);
        }
        Ok(self.pack((weights, bias)))
    }

    fn linear(&self, name: &str, columns: usize, inner: usize) -> Result<Linear, String> {
        Ok((self.read(&format!("{name}.weight"), &[columns, inner])?, self.read(&format!("{name}.bias"), &[columns])?))
    }

    fn pack<E: Element>(&self, (weights, bias): Linear) -> Matrix<E> {
        Matrix::pack(&weights, &bias, self.cpu.panel_columns())
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, String> {
        let read = |part: &str| Ok::<_, String>(aligned(&self.read(&format!("{name}.{part}"), &[width])?));
        Ok(Norm { scale: read("weight")?, shift: read("bias")? })
    }
}

fn aligned(numbers: &[f32]) -> Buffer<f32> {
    let mut buffer = Buffer::new(numbers.len());
    buffer.copy_from_slice(numbers);
    buffer
}
