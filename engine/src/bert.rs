//! The encoder of the BERT family, over packed texts: no padding, no masks, no copies between layers.
//!
//! It owns shapes and the order of operations; arithmetic is the kernels', files are [`weights`]'. A micro-batch is a
//! list of texts whose rows lie one after the other. Every operation but attention treats rows alone, and attention
//! sees one text, so a text's result is the same in any batch.

use std::sync::{Mutex, PoisonError};

use crate::kernels::{Activate, Add, Attention, AttentionShape, Buffer, Cpu, Element, Embed, Matrix, Normalise, Product, Scratch, Store};

mod config;
mod weights;

pub(crate) use config::{BertConfig, Pooling};

/// Rows that the feed-forward layer takes at a time, so that its wide middle stays in the cache. Whole tiles of any path.
const FEED_FORWARD_ROWS: usize = 192;

/// Token ids to vectors, whatever numbers the weights are kept in.
pub(crate) trait Encode: Send + Sync {
    /// One vector per text, not normalised. A text is `1..=window` ids below the vocabulary's size.
    ///
    /// # Errors
    /// A sentence, where a text is not.
    fn encode(&self, texts: &[&[u32]], pooling: Pooling) -> Result<Vec<Vec<f32>>, String>;
}

pub(crate) struct Bert<E: Element> {
    cpu: Cpu,
    config: BertConfig,
    window: usize,
    /// `[vocabulary][width]`
    words: Buffer<f32>,
    /// `[window][width]`, the first token type's row added to each.
    positions: Buffer<f32>,
    norm: Norm,
    layers: Vec<Layer<E>>,
    /// Working memory that no call is using: at most one a worker.
    idle: Mutex<Vec<Arena<E>>>,
}

struct Layer<E: Element> {
    /// Queries, keys and values in one; the queries come out scaled.
    projection: Matrix<E>,
    attention_output: Matrix<E>,
    attention_norm: Norm,
    expansion: Matrix<E>,
    contraction: Matrix<E>,
    norm: Norm,
}

struct Norm {
    scale: Buffer<f32>,
    shift: Buffer<f32>,
}

/// Working memory for micro-batches of up to `rows` rows.
struct Arena<E: Element> {
    rows: usize,
    /// The residual stream, `[rows][width]`.
    hidden: Buffer<f32>,
    /// What the next product reads: `hidden`, or what attention made.
    input: Buffer<E>,
    /// `[rows][3 · width]`
    projected: Buffer<E>,
    /// `[FEED_FORWARD_ROWS][inner width]`
    expanded: Buffer<E>,
    scratch: Scratch<E>,
}

impl<E: Element> Arena<E> {
    fn new(config: &BertConfig, window: usize, rows: usize) -> Self {
        Self {
            rows,
            hidden: Buffer::new(rows * config.width),
            input: Buffer::new(rows * config.width),
            projected: Buffer::new(rows * 3 * config.width),
            expanded: Buffer::new(FEED_FORWARD_ROWS.min(rows) * config.inner_width),
            scratch: Scratch::new(window.min(rows), config.head_width()),
        }
    }
}

impl<E: Element> Encode for Bert<E> {
    fn encode(&self, texts: &[&[u32]], pooling: Pooling) -> Result<Vec<Vec<f32>>, String> {
        for text in texts {
            self.check(text)?;
        }
        let rows = texts.iter().map(|text| text.len()).sum();
        let mut arena = self.arena(rows);
        self.forward(texts, rows, &mut arena);
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = &arena.hidden[..rows * self.config.width];
        for text in texts {
            let (hidden, after) = rest.split_at(text.len() * self.config.width);
            vectors.push(pool(hidden, self.config.width, pooling));
            rest = after;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
        Ok(vectors)
    }
}

impl<E: Element> Bert<E> {
    fn check(&self, text: &[u32]) -> Result<(), String> {
        if text.is_empty() || text.len() > self.window {
            return Err(format!("a text of {} tokens; 1 to {} are taken", text.len(), self.window));
        }
        let vocabulary = self.config.vocabulary;
        match text.iter().find(|token| **token as usize >= vocabulary) {
            Some(token) => Err(format!("token {token} of a vocabulary of {vocabulary}")),
            None => Ok(()),
        }
    }

    /// The largest that is idle, grown where it is too small.
    fn arena(&self, rows: usize) -> Arena<E> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.filter(|arena| arena.rows >= rows).unwrap_or_else(|| Arena::new(&self.config, self.window, rows))
    }

    /// Leaves the last layer's output in `arena.hidden`.
    fn forward(&self, texts: &[&[u32]], rows: usize, arena: &mut Arena<E>) {
        let width = self.config.width;
        let places: Vec<(usize, u32)> = texts.iter().flat_map(|text| text.iter().copied().enumerate()).collect();
        let hidden = &mut arena.hidden[..rows * width];
        self.cpu.run(Embed { hidden, width, places: &places, words: &self.words, positions: &self.positions });
        self.normalise(&self.norm, &mut arena.hidden[..rows * width], &mut arena.input[..rows * width]);
        for layer in &self.layers {
            self.attend(layer, texts, rows, arena);
            self.feed_forward(layer, rows, arena);
        }
    }

    fn attend(&self, layer: &Layer<E>, texts: &[&[u32]], rows: usize, arena: &mut Arena<E>) {
        let width = self.config.width;
        let Arena { hidden, input, projected, scratch, .. } = arena;
        let sink = Store { out: &mut projected[..], stride: 3 * width };
        self.cpu.multiply(Product { input: &input[..], rows, weights: layer.projection.all(), sink });
        let shape = AttentionShape { heads: self.config.heads, head_width: self.config.head_width() };
        let mut row = 0;
        for text in texts {
            let tokens = text.len();
            let projected = &projected[row * 3 * width..][..tokens * 3 * width];
            let out = &mut input[row * width..][..tokens * width];
            self.cpu.run(Attention { projected, out, tokens, shape, scratch });
            row += tokens;
        }
        let sink = Add { to: &mut hidden[..], stride: width };
        self.cpu.multiply(Product { input: &input[..], rows, weights: layer.attention_output.all(), sink });
        self.normalise(&layer.attention_norm, &mut hidden[..rows * width], &mut input[..rows * width]);
    }

    fn feed_forward(&self, layer: &Layer<E>, rows: usize, arena: &mut Arena<E>) {
        let (width, inner_width, activation) = (self.config.width, self.config.inner_width, self.config.activation);
        let Arena { hidden, input, expanded, .. } = arena;
        let chunks = hidden[..rows * width].chunks_mut(FEED_FORWARD_ROWS * width);
        for (hidden, input) in chunks.zip(input[..rows * width].chunks_mut(FEED_FORWARD_ROWS * width)) {
            let rows = hidden.len() / width;
            let sink = Activate { out: &mut expanded[..], stride: inner_width, activation };
            self.cpu.multiply(Product { input: &*input, rows, weights: layer.expansion.all(), sink });
            let sink = Add { to: &mut *hidden, stride: width };
            self.cpu.multiply(Product { input: &expanded[..], rows, weights: layer.contraction.all(), sink });
            self.normalise(&layer.norm, hidden, input);
        }
    }

    fn normalise(&self, norm: &Norm, hidden: &mut [f32], input: &mut [E]) {
        let kernel = Normalise { hidden, input, scale: &norm.scale, shift: &norm.shift, epsilon: self.config.epsilon };
        self.cpu.run(kernel);
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
