//! What every [`Embedder`], [`crate::Reranker`] and [`crate::Generator`] must do, as one check each that each implementation's
//! tests call.

use crate::{Embedder, EngineError};

mod generator;
mod reranker;

pub use generator::check_generator;
pub use reranker::check_reranker;

const TEXTS: [&str; 9] = [
    "",
    "   \n\t ",
    "a",
    "Vaccines are kept between 2 and 8 degrees Celsius.",
    "Store the vaccines at 2 to 8 degrees Celsius.",
    "The pool is divided among contributors at the end of an epoch.",
    "naïve café, x² ≤ φᵢ — Zero\u{200b}width 🚚❄️ e\u{301}",
    "疫苗必须在2至8摄氏度之间储存。 백신은 섭씨 2도에서 보관해야 합니다. टीकों को दो से",
    "UPPER [SEP] lower \u{0} \u{fffd} \u{feff}",
];

/// Checks shapes, lengths, offsets, the window and that batches change nothing.
///
/// # Errors
/// A sentence saying which promise of the trait was broken, and by what.
pub fn check_embedder(embedder: &dyn Embedder) -> Result<(), String> {
    check_info(embedder)?;
    check_vectors(embedder)?;
    for text in TEXTS {
        check_tokens(embedder, text)?;
    }
    check_window(embedder)
}

fn check_info(embedder: &dyn Embedder) -> Result<(), String> {
    let info = embedder.info();
    ensure(!info.name.is_empty(), || "the name is empty".to_owned())?;
    ensure(info.dimensions > 0, || "no dimensions".to_owned())?;
    ensure(info.window_tokens > 2, || "the window has no room for a text".to_owned())?;
    check_sha256(&info.sha256)
}

fn check_sha256(sha256: &str) -> Result<(), String> {
    let is_hex = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    ensure(is_hex, || format!("sha256 {sha256:?} is not 64 lower-case hex digits"))
}

fn check_vectors(embedder: &dyn Embedder) -> Result<(), String> {
    ensure(run(embedder.embed(&[]))?.is_empty(), || "no texts gave vectors".to_owned())?;
    let batch = run(embedder.embed(&TEXTS))?;
    ensure(batch.len() == TEXTS.len(), || format!("{} vectors for {} texts", batch.len(), TEXTS.len()))?;
    for (text, vector) in TEXTS.iter().zip(&batch) {
        let dimensions = embedder.info().dimensions;
        ensure(vector.len() == dimensions, || format!("{text:?}: {} dimensions, not {dimensions}", vector.len()))?;
        let norm = cosine(vector, vector).sqrt();
        ensure((norm - 1.0).abs() < 1e-5, || format!("{text:?}: the vector's length is {norm}"))?;
        let alone = run(embedder.embed(&[text]))?;
        ensure(alone.first().is_some_and(|alone| same_bits(alone, vector)), || {
            format!("{text:?}: alone and in a batch give different bits")
        })?;
    }
    let reversed: Vec<&str> = TEXTS.iter().rev().copied().collect();
    let reversed = run(embedder.embed(&reversed))?;
    let same = batch.iter().zip(reversed.iter().rev()).all(|(a, b)| same_bits(a, b));
    ensure(same, || "the order of a batch changes its vectors".to_owned())?;
    let [_, _, _, one, another, unrelated, ..] = batch.as_slice() else {
        return Err("too few vectors".to_owned());
    };
    ensure(cosine(one, another) > cosine(one, unrelated), || {
        "two sentences about one thing lie further apart than two about different things".to_owned()
    })
}

fn check_tokens(embedder: &dyn Embedder, text: &str) -> Result<(), String> {
    let offsets = run(embedder.token_offsets(text))?;
    let count = run(embedder.count_tokens(text))?;
    ensure(count == offsets.len(), || format!("{text:?}: counts {count} tokens, gives {} offsets", offsets.len()))?;
    ensure(!text.trim().is_empty() || count == 0, || format!("{text:?}: white space has {count} tokens"))?;
    let mut last_start = 0;
    for (start, end) in offsets {
        let sound = start < end && start >= last_start && text.get(start..end).is_some();
        ensure(sound, || format!("{text:?}: token range {start}..{end} after one from {last_start}"))?;
        last_start = start;
    }
    Ok(())
}

/// Offsets reach past the window; vectors do not.
fn check_window(embedder: &dyn Embedder) -> Result<(), String> {
    let window = embedder.info().window_tokens;
    let long = "cold chain ".repeat(window);
    check_tokens(embedder, &long)?;
    let offsets = run(embedder.token_offsets(&long))?;
    ensure(offsets.len() == 2 * window, || format!("{} tokens in {} plain words", offsets.len(), 2 * window))?;
    let end = |tokens: usize| tokens.checked_sub(1).and_then(|last| offsets.get(last)).map_or(0, |(_, end)| *end);
    let within = long.get(..end(window - 2)).unwrap_or_default();
    let short = long.get(..end(window - 3)).unwrap_or_default();
    let vectors = run(embedder.embed(&[&long, within, short]))?;
    let [long, within, short] = vectors.as_slice() else {
        return Err("too few vectors".to_owned());
    };
    ensure(same_bits(long, within), || "text beyond the window changes the vector".to_owned())?;
    ensure(!same_bits(within, short), || "the last token of the window does not count".to_owned())
}

fn run<T>(result: Result<T, EngineError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Of unit vectors.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
