//! A BERT's tensors, checked, and packed for the processor at hand.

use std::sync::Mutex;

use super::{Bert, BertConfig, Layer, Norm, Operand, Positions, RotaryTable, TextLimits};
use crate::files::safetensors::Safetensors;
use crate::kernels::{Buffer, Cpu};

/// A matrix `[columns][inner]` and its bias, row-major.
type Linear = (Vec<f32>, Vec<f32>);

struct Reader<'a> {
    tensors: &'a Safetensors<'a>,
    config: &'a BertConfig,
    prefix: &'static str,
    cpu: Cpu,
}

impl<R: Operand> Bert<R> {
    /// Reads and packs every weight, one tensor at a time.
    ///
    /// # Errors
    /// A sentence naming the tensor that is missing, misshapen or not finite.
    pub(super) fn load(tensors: &Safetensors<'_>, config: BertConfig, limits: TextLimits, cpu: Cpu) -> Result<Self, String> {
        let words = format!("{}.weight", config.variant.words);
        let prefix = config.variant.prefixes.iter().find(|prefix| tensors.contains(&format!("{prefix}{words}")));
        let prefix = prefix.ok_or_else(|| format!("tensor {words} is missing"))?;
        let reader = Reader { tensors, config: &config, prefix, cpu };
        let (rotations, tables) = rotary_tables(&config, limits.window);
        let layers = rotations.into_iter().enumerate().map(|(layer, rotation)| reader.layer::<R>(layer, rotation));
        Ok(Self {
            cpu,
            limits,
            words: aligned(&reader.read(&words, &[config.vocabulary, config.width])?),
            positions: aligned(&reader.positions(limits)?),
            rotary: tables,
            norm: reader.norm(config.variant.embedding_norm.to_owned(), true)?,
            layers: layers.collect::<Result<_, _>>()?,
            config,
            idle: Mutex::default(),
        })
    }
}

/// Which table each layer reads, and the tables: one for each base.
fn rotary_tables(config: &BertConfig, window: usize) -> (Vec<Option<usize>>, Vec<RotaryTable>) {
    let mut bases = Vec::new();
    let of_layers = config.attention.iter().map(|attention| {
        attention.rotation.map(|rotation| {
            bases.iter().position(|base| *base == rotation.base).unwrap_or_else(|| {
                bases.push(rotation.base);
                bases.len() - 1
            })
        })
    });
    let of_layers = of_layers.collect();
    (of_layers, bases.into_iter().map(|base| RotaryTable::new(base, config.head_width(), window)).collect())
}

impl Reader<'_> {
    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        self.tensors.read(&format!("{}{name}", self.prefix), shape)
    }

    /// For each type, the rows of positions from the first that a token can have, the type's row added to each; empty
    /// where there is no table.
    fn positions(&self, limits: TextLimits) -> Result<Vec<f32>, String> {
        let width = self.config.width;
        let Positions::Table { rows, first, token_types } = self.config.positions else {
            return Ok(Vec::new());
        };
        let positions = self.read("embeddings.position_embeddings.weight", &[rows, width])?;
        let types = self.read("embeddings.token_type_embeddings.weight", &[token_types, width])?;
        // A type's row is added once, here: a typed token costs no more than another.
        debug_assert!(limits.window <= rows - first && limits.token_types <= token_types, "the tables have rows for every text");
        let rows = positions.chunks_exact(width).skip(first).take(limits.window);
        let of_types = types.chunks_exact(width).take(limits.token_types);
        Ok(of_types.flat_map(|kind| rows.clone().flat_map(move |row| row.iter().zip(kind).map(|(a, b)| a + b))).collect())
    }

    fn layer<R: Operand>(&self, layer: usize, rotary: Option<usize>) -> Result<Layer<R::Weights>, String> {
        let variant = self.config.variant;
        let at = |layer: usize, part: &str| format!("{}.{layer}.{part}", variant.layers);
        let (width, inner_width) = (self.config.width, self.config.inner_width);
        let norm = match variant.final_norm {
            None => self.norm(at(layer, variant.norm), true),
            Some(last) if layer + 1 == self.config.attention.len() => self.norm(last.to_owned(), true),
            // The next layer reads through its norm: taken here, one pass over a row adds to it and normalises it.
            Some(_) => self.norm(at(layer + 1, variant.norm), false),
        };
        Ok(Layer {
            reach: self.config.attention.get(layer).and_then(|attention| attention.reach),
            rotary,
            projection: self.pack::<R>(self.projection(layer)?),
            attention_output: self.pack::<R>(self.linear(&at(layer, variant.attention_output), width, width)?),
            middle_norm: self.norm(at(layer, variant.middle_norm), variant.final_norm.is_none())?,
            expansion: self.pack::<R>(self.linear(&at(layer, variant.expansion), self.config.expanded_width(), width)?),
            contraction: self.pack::<R>(self.linear(&at(layer, variant.contraction), width, inner_width)?),
            norm: norm?,
        })
    }

    /// Queries, keys and values as one matrix. Attention divides scores by the root of the head's width: the queries are.
    fn projection(&self, layer: usize) -> Result<Linear, String> {
        #[expect(clippy::cast_precision_loss, reason = "a width is below 2^24")]
        let scale = 1.0 / (self.config.head_width() as f32).sqrt();
        let (width, parts) = (self.config.width, self.config.variant.projections);
        let (mut weights, mut bias) = (Vec::with_capacity(3 * width * width), Vec::with_capacity(3 * width));
        for part in parts {
            let name = format!("{}.{layer}.{part}", self.config.variant.layers);
            let (more_weights, more_bias) = self.linear(&name, 3 * width / parts.len(), width)?;
            weights.extend(more_weights);
            bias.extend(more_bias);
        }
        let queries = weights.iter_mut().take(width * width).chain(bias.iter_mut().take(width));
        queries.for_each(|number| *number *= scale);
        Ok((weights, bias))
    }

    fn linear(&self, name: &str, columns: usize, inner: usize) -> Result<Linear, String> {
        Ok((self.read(&format!("{name}.weight"), &[columns, inner])?, self.bias(name, columns)?))
    }

    /// Zeros where this kind has none.
    fn bias(&self, name: &str, length: usize) -> Result<Vec<f32>, String> {
        if self.config.variant.biased { self.read(&format!("{name}.bias"), &[length]) } else { Ok(vec![0.0; length]) }
    }

    fn pack<R: Operand>(&self, (weights, bias): Linear) -> R::Weights {
        R::pack(&weights, &bias, self.cpu)
    }

    fn norm(&self, name: String, replaces: bool) -> Result<Norm, String> {
        let width = self.config.width;
        let (scale, shift) = (self.read(&format!("{name}.weight"), &[width])?, self.bias(&name, width)?);
        Ok(Norm { scale: aligned(&scale), shift: aligned(&shift), replaces })
    }
}

fn aligned(numbers: &[f32]) -> Buffer<f32> {
    let mut buffer = Buffer::new(numbers.len());
    buffer.copy_from_slice(numbers);
    buffer
}
