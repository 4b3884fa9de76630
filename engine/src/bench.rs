//! What the benchmarks drive: the decoder alone, without text, sampling or a queue; the embedder's tokenizer alone.
//!
//! No part of the crate's interface; nothing but the examples that are benchmarks calls it.

use std::path::Path;
use std::time::Instant;

use crate::decoder::{Batch, Decoder, DecoderOptions, PAGE_TOKENS, PageId, Pages, Row, Segment, View};
use crate::files::ModelFiles;
use crate::{EngineError, Isa, Precision, SentenceEmbedder};

/// Tokens of a prompt that are computed together.
const CHUNK_TOKENS: usize = 512;

#[expect(missing_debug_implementations, reason = "of no use to anyone")]
pub struct BenchDecoder {
    decoder: Decoder,
    vocabulary: usize,
}

/// What a piece of work took.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub wall_s: f64,
    /// Of all threads; 0 where the system does not say.
    pub cpu_s: f64,
}

/// What the encoder is given for a passage, special tokens included.
///
/// # Errors
/// [`EngineError::Library`] when the tokenizer fails.
pub fn token_ids(model: &SentenceEmbedder, text: &str) -> Result<Vec<u32>, EngineError> {
    model.token_ids(text)
}

/// Sequences of the same length, and the pages they fill.
struct Sequences {
    memory: Pages,
    pages: Vec<Vec<PageId>>,
}

impl Sequences {
    /// Gives every sequence what the first has.
    fn repeat_first(&mut self, tokens: usize) {
        let Some((first, rest)) = self.pages.split_first() else {
            return;
        };
        for pages in rest {
            for ((from, to), start) in first.iter().zip(pages).zip((0..tokens).step_by(PAGE_TOKENS)) {
                self.memory.copy(*from, *to, PAGE_TOKENS.min(tokens - start));
            }
        }
    }
}

impl BenchDecoder {
    /// # Errors
    /// Those of opening and loading a model.
    pub fn load(path: &Path, precision: Precision, isa: Option<Isa>, threads: usize) -> Result<Self, EngineError> {
        let files = ModelFiles::open(path)?;
        let decoder = Decoder::load(&files, &DecoderOptions { precision, isa, threads: Some(threads) })?;
        let vocabulary = decoder.architecture().vocabulary;
        Ok(Self { decoder, vocabulary })
    }

    /// A prompt of so many tokens, and the scores after its last one.
    #[must_use]
    pub fn prefill(&self, tokens: usize) -> Timing {
        self.prompt(&mut self.sequences(1, 32.min(tokens)), 0, 32.min(tokens));
        let mut sequences = self.sequences(1, tokens);
        timed(|| self.prompt(&mut sequences, 0, tokens))
    }

    /// So many steps, each a token of every sequence and the scores after it. All sequences have the same prompt.
    #[must_use]
    pub fn decode(&self, count: usize, prompt: usize, steps: usize) -> Timing {
        let mut sequences = self.sequences(count, prompt + steps + 1);
        self.prompt(&mut sequences, 0, prompt);
        sequences.repeat_first(prompt);
        self.step(&mut sequences, prompt);
        timed(|| (1..=steps).for_each(|step| self.step(&mut sequences, prompt + step)))
    }

    fn sequences(&self, count: usize, tokens: usize) -> Sequences {
        let each = tokens.div_ceil(PAGE_TOKENS);
        let ids = (0_u32..).map(PageId);
        let all: Vec<PageId> = ids.take(count * each).collect();
        let mut memory = self.decoder.pages(all.len());
        // As in a service that has run for a while: the system gives a page when it is first written.
        all.windows(2).for_each(|pages| memory.copy(pages[0], pages[1], PAGE_TOKENS));
        Sequences { memory, pages: all.chunks(each).map(<[PageId]>::to_vec).collect() }
    }

    /// Of no meaning; the same for every system.
    fn token(&self, at: usize) -> u32 {
        ((300 + at * 7919 % 40_000) % self.vocabulary) as u32
    }

    fn prompt(&self, sequences: &mut Sequences, sequence: usize, tokens: usize) {
        let Some(pages) = sequences.pages.get(sequence) else {
            return;
        };
        for first in (0..tokens).step_by(CHUNK_TOKENS) {
            let last = tokens.min(first + CHUNK_TOKENS);
            let row = |at: usize| Row { token: self.token(at), view: 0, adapter: None, wanted: at + 1 == tokens };
            let rows: Vec<Row> = (first..last).map(row).collect();
            let segments = [Segment { pages, tokens: first, first_position: 0 }];
            self.run(&mut sequences.memory, &Batch { rows: &rows, views: &[View { segments: &segments, stretched: false }] });
        }
    }

    fn step(&self, sequences: &mut Sequences, tokens: usize) {
        let segments: Vec<_> = sequences.pages.iter().map(|pages| [Segment { pages, tokens, first_position: 0 }]).collect();
        let views: Vec<View<'_>> = segments.iter().map(|segments| View { segments, stretched: false }).collect();
        let row = |view: u32| Row { token: self.token(tokens + view as usize), view, adapter: None, wanted: true };
        let rows: Vec<Row> = (0_u32..).take(views.len()).map(row).collect();
        self.run(&mut sequences.memory, &Batch { rows: &rows, views: &views });
    }

    fn run(&self, memory: &mut Pages, batch: &Batch<'_>) {
        let hidden = self.decoder.forward(memory, batch);
        std::hint::black_box(self.decoder.logits(&hidden.numbers, hidden.rows));
    }
}

/// What the work takes of this process.
pub fn timed(work: impl FnOnce()) -> Timing {
    let (start, cpu_s) = (Instant::now(), cpu_s());
    work();
    Timing { wall_s: start.elapsed().as_secs_f64(), cpu_s: self::cpu_s() - cpu_s }
}

/// What Linux has counted for the threads of this process, in nanoseconds there.
fn cpu_s() -> f64 {
    let nanoseconds = |thread: std::io::Result<std::fs::DirEntry>| -> Option<f64> {
        let counted = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        counted.split(' ').next()?.parse().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    threads.filter_map(nanoseconds).sum::<f64>() / 1e9
}
