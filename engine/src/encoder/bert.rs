//! The encoder of the BERT family, over packed texts: no padding, no masks, no copies between layers.
//!
//! It owns shapes and the order of operations; arithmetic is the kernels', files are [`weights`]'. A micro-batch is a
//! list of texts whose rows lie one after the other. Every operation but attention treats rows alone, and attention
//! sees one text, so a text's result is the same in any batch.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::kernels::{Activate, Add, Attention, AttentionShape, Buffer, Cpu, Embed, Gate, Normalise, Overwrite, RotateRows, Scratch};

mod config;
mod operand;
mod precisions;
mod rotary;
mod text;
mod variant;
mod weights;

use config::Positions;
pub(crate) use config::{BertConfig, Pooling};
use operand::{ByteRows, Operand, PlainRows};
pub(crate) use precisions::load_encoder;
use rotary::RotaryTable;
pub(crate) use text::{Text, TextLimits};

/// Rows that the feed-forward layer takes at a time, so that its wide middle stays in the cache. Whole tiles of any path.
const FEED_FORWARD_ROWS: usize = 96;

/// Token ids to vectors, whatever numbers the weights are kept in.
pub(crate) trait Encode: Send + Sync {
    /// One vector per text, not normalised.
    ///
    /// # Errors
    /// A sentence, where a text is not within the limits that it was loaded with.
    fn encode(&self, texts: &[Text<'_>], pooling: Pooling) -> Result<Vec<Vec<f32>>, String>;
}

struct Bert<R: Operand> {
    cpu: Cpu,
    config: BertConfig,
    limits: TextLimits,
    /// `[vocabulary][width]`
    words: Buffer<f32>,
    /// `[token types][window][width]`, each type's row added to each position's; empty where positions are not added.
    positions: Buffer<f32>,
    rotary: Vec<RotaryTable>,
    norm: Norm,
    layers: Vec<Layer<R::Weights>>,
    /// Working memory that no call is using: at most one a worker.
    idle: Mutex<Vec<Arena<R>>>,
}

struct Layer<W> {
    /// A token sees so many to either side; all where there is none.
    reach: Option<usize>,
    /// Which of the tables turns queries and keys.
    rotary: Option<usize>,
    /// Queries, keys and values in one; the queries come out scaled.
    projection: W,
    attention_output: W,
    /// What the feed-forward layer reads.
    middle_norm: Norm,
    expansion: W,
    contraction: W,
    /// What the next layer reads, or the model gives.
    norm: Norm,
}

struct Norm {
    scale: Buffer<f32>,
    shift: Buffer<f32>,
    /// The residual stream becomes what is normalised.
    replaces: bool,
}

/// Working memory for micro-batches of up to `rows` rows.
struct Arena<R: Operand> {
    rows: usize,
    /// The residual stream, `[rows][width]`.
    hidden: Buffer<f32>,
    /// What the next product reads: `hidden`, or what attention made.
    input: R,
    /// `[rows][3 · width]`
    projected: Buffer<R::Projected>,
    /// `[FEED_FORWARD_ROWS][2 · inner width]`; empty where nothing is gated.
    halves: Buffer<f32>,
    /// `[FEED_FORWARD_ROWS][inner width]`
    expanded: R,
    scratch: Scratch<R::Projected>,
}

impl<R: Operand> Arena<R> {
    fn new(config: &BertConfig, window: usize, rows: usize) -> Self {
        Self {
            rows,
            hidden: Buffer::new(rows * config.width),
            input: R::new(rows, config.width),
            projected: Buffer::new(rows * 3 * config.width),
            halves: Buffer::new(if config.variant.gated { FEED_FORWARD_ROWS.min(rows) * config.expanded_width() } else { 0 }),
            expanded: R::new(FEED_FORWARD_ROWS.min(rows), config.inner_width),
            scratch: Scratch::new(window.min(rows), config.head_width()),
        }
    }
}

impl<R: Operand> Encode for Bert<R> {
    fn encode(&self, texts: &[Text<'_>], pooling: Pooling) -> Result<Vec<Vec<f32>>, String> {
        for text in texts {
            text.check(self.limits, self.config.vocabulary)?;
        }
        let rows = texts.iter().map(|text| text.ids.len()).sum();
        let mut arena = self.arena(rows);
        self.forward(texts, rows, &mut arena);
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = &arena.hidden[..rows * self.config.width];
        for text in texts {
            let (hidden, after) = rest.split_at(text.ids.len() * self.config.width);
            vectors.push(pool(hidden, self.config.width, pooling));
            rest = after;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
        Ok(vectors)
    }
}

impl<R: Operand> Bert<R> {
    /// The one that was used last, which the cache may still know; a new one where it is too small.
    fn arena(&self, rows: usize) -> Arena<R> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.filter(|arena| arena.rows >= rows).unwrap_or_else(|| Arena::new(&self.config, self.limits.window, rows))
    }

    /// Leaves the last layer's output in `arena.hidden`.
    fn forward(&self, texts: &[Text<'_>], rows: usize, arena: &mut Arena<R>) {
        let width = self.config.width;
        let mut places = Vec::with_capacity(rows);
        texts.iter().for_each(|text| text.places(self.limits.window, &mut places));
        let hidden = &mut arena.hidden[..rows * width];
        self.cpu.run(Embed { hidden, width, places: &places, words: &self.words, positions: &self.positions });
        // Both kinds normalise the embeddings themselves: the result is the residual stream and what the first layer reads.
        self.normalise(&self.norm, &mut arena.hidden, &mut arena.input, 0..rows);
        for layer in &self.layers {
            self.attend(layer, texts, rows, arena);
            self.feed_forward(layer, rows, arena);
        }
    }

    fn attend(&self, layer: &Layer<R::Weights>, texts: &[Text<'_>], rows: usize, arena: &mut Arena<R>) {
        let width = self.config.width;
        let Arena { hidden, input, projected, scratch, .. } = arena;
        // Queries, keys and values by one product: the rows are read once, and a row has its three parts side by side.
        input.multiply(self.cpu, 0..rows, &layer.projection, Overwrite { out: &mut projected[..], stride: 3 * width });
        let shape = AttentionShape { heads: self.config.heads, head_width: self.config.head_width() };
        let table = layer.rotary.and_then(|table| self.rotary.get(table));
        let mut row = 0;
        for text in texts {
            let tokens = text.ids.len();
            let projected = &mut projected[row * 3 * width..][..tokens * 3 * width];
            if let Some(RotaryTable { cosines, sines }) = table {
                self.cpu.run(RotateRows { projected, shape, cosines, sines });
            }
            // The product has read these rows: attention writes over them.
            let out = input.raw(row..row + tokens);
            self.cpu.run(Attention { projected, out, tokens, shape, reach: layer.reach, scratch });
            row += tokens;
        }
        input.finish(self.cpu, 0..rows);
        input.multiply(self.cpu, 0..rows, &layer.attention_output, Add { to: &mut hidden[..], stride: width });
        // BERT goes on from the normalised sum; ModernBERT goes on from the sum, and only the next product reads the norm.
        self.normalise(&layer.middle_norm, hidden, input, 0..rows);
    }

    fn feed_forward(&self, layer: &Layer<R::Weights>, rows: usize, arena: &mut Arena<R>) {
        let (width, inner_width, activation) = (self.config.width, self.config.inner_width, self.config.activation);
        let Arena { hidden, input, halves, expanded, .. } = arena;
        for first in (0..rows).step_by(FEED_FORWARD_ROWS) {
            let of_chunk = first..rows.min(first + FEED_FORWARD_ROWS);
            let chunk = 0..of_chunk.len();
            let out = expanded.raw(chunk.clone());
            if self.config.variant.gated {
                let sink = Overwrite { out: &mut halves[..], stride: 2 * inner_width };
                input.multiply(self.cpu, of_chunk.clone(), &layer.expansion, sink);
                self.cpu.run(Gate { halves, out, width: inner_width, activation });
            } else {
                input.multiply(self.cpu, of_chunk.clone(), &layer.expansion, Activate { out, stride: inner_width, activation });
            }
            expanded.finish(self.cpu, chunk.clone());
            let sink = Add { to: &mut hidden[first * width..], stride: width };
            expanded.multiply(self.cpu, chunk, &layer.contraction, sink);
            // What the next layer reads takes the place of what this chunk read; later chunks read their own rows only.
            self.normalise(&layer.norm, hidden, input, of_chunk);
        }
    }

    fn normalise(&self, norm: &Norm, hidden: &mut [f32], input: &mut R, rows: Range<usize>) {
        let width = self.config.width;
        let hidden = &mut hidden[rows.start * width..rows.end * width];
        let Norm { scale, shift, replaces } = norm;
        let kernel = Normalise { hidden, input: input.raw(rows.clone()), scale, shift, epsilon: self.config.epsilon, replaces: *replaces };
        self.cpu.run(kernel);
        input.finish(self.cpu, rows);
    }
}

/// `hidden: [tokens][width]` to one vector; sums are taken in the order of the tokens.
fn pool(hidden: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    let mut rows = hidden.chunks_exact(width);
    let row = match pooling {
        Pooling::Cls => rows.next(),
        Pooling::Last => rows.next_back(),
        Pooling::Mean => {
            let mut sums = vec![0.0; width];
            for row in rows {
                sums.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
            }
            #[expect(clippy::cast_precision_loss, reason = "a text has fewer than 2^24 tokens")]
            let tokens = (hidden.len() / width) as f32;
            return sums.into_iter().map(|sum| sum / tokens).collect();
        }
    };
    row.unwrap_or_default().to_vec()
}
