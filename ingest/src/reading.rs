//! One file, from bytes to embedded chunks: all the CPU work of an upload. Pure; it blocks.

use engine::{Embedder, EngineError};
use schemas::hashing;
use schemas::ids::{ChunkId, Sha256};
use schemas::tables::Embedding;

use crate::chunking::{self, ChunkLimits, ChunkingError};
use crate::duplicates::Fingerprint;
use crate::formats::{self, Refusal};
use crate::language;
use crate::screening::{self, LANGUAGE_NOT_SERVED};

/// Inputs that are the same for every file of a submission.
#[derive(Debug, Clone)]
pub(crate) struct ReadingRules {
    pub limits: ChunkLimits,
    pub embedding_batch_texts: usize,
    /// What the Datanet is about.
    pub topic: String,
}

/// What a file turned out to be.
#[derive(Debug)]
pub(crate) enum Reading {
    Read(Document),
    Refused(Refusal),
}

#[derive(Debug)]
pub(crate) struct Document {
    pub media_type: &'static str,
    pub parser: &'static str,
    pub title: Option<String>,
    pub topic_similarity_ppm: u64,
    pub chunks: Vec<Chunk>,
}

#[derive(Debug)]
pub(crate) struct Chunk {
    pub chunk_id: ChunkId,
    pub byte_start: u64,
    pub byte_end: u64,
    pub text: String,
    pub text_sha256: Sha256,
    pub token_count: u64,
    pub flags: Vec<String>,
    pub fingerprint: Fingerprint,
    pub embedding: Embedding,
}

/// Reads a file.
///
/// # Errors
/// The embedder's. A file that cannot be read is no error but [`Reading::Refused`].
pub(crate) fn read(
    file_name: &str,
    bytes: &[u8],
    sha256: Sha256,
    embedder: &dyn Embedder,
    rules: &ReadingRules,
) -> Result<Reading, EngineError> {
    let parsed = match formats::parse(file_name, bytes) {
        Ok(parsed) => parsed,
        Err(refusal) => return Ok(Reading::Refused(refusal)),
    };
    let (media_type, parser) = (parsed.format.media_type(), parsed.format.parser());
    let ranges = match chunking::split(&parsed, embedder, rules.limits) {
        Ok(ranges) => ranges,
        Err(ChunkingError::Engine(error)) => return Err(error),
        Err(ChunkingError::TooMany) => {
            let most = rules.limits.max_chunks;
            let reason = format!("the file gives more than {most} chunks; split it into several files");
            return Ok(Reading::Refused(Refusal { code: "too_many_chunks", reason, media_type, parser }));
        }
    };
    let served = embedder.info().languages;
    let unserved = language::is_unserved(&parsed.text, served);
    let mut chunks = Vec::with_capacity(ranges.len());
    for range in ranges {
        let text = parsed.text.get(range.clone()).unwrap_or_default();
        let mut flags = screening::screen(text);
        flags.extend(parsed.flags(&range).into_iter().map(str::to_owned));
        flags.extend((unserved || language::is_unserved_script(text, served)).then(|| LANGUAGE_NOT_SERVED.to_owned()));
        flags.sort_unstable();
        let source = parsed.source(range.clone());
        let (byte_start, byte_end) = (source.start as u64, source.end as u64);
        chunks.push(Chunk {
            chunk_id: hashing::chunk_id(sha256, byte_start, byte_end, text),
            byte_start,
            byte_end,
            text: text.to_owned(),
            text_sha256: hashing::sha256(text.as_bytes()),
            token_count: embedder.count_tokens(text)? as u64,
            flags,
            fingerprint: Fingerprint::of(text),
            embedding: Embedding::default(),
        });
    }
    for batch in chunks.chunks_mut(rules.embedding_batch_texts.max(1)) {
        let texts: Vec<&str> = batch.iter().map(|chunk| chunk.text.as_str()).collect();
        let vectors = embedder.embed(&texts)?;
        for (chunk, vector) in batch.iter_mut().zip(vectors) {
            chunk.embedding = Embedding(vector);
        }
    }
    let topic_similarity_ppm = match embedder.embed(&[&rules.topic])?.first() {
        Some(topic) => similarity_ppm(topic, &chunks),
        None => 0,
    };
    Ok(Reading::Read(Document { media_type, parser, title: parsed.title, topic_similarity_ppm, chunks }))
}

/// Cosine of the mean of the chunks' vectors to the topic's, in parts per million; negative becomes 0.
fn similarity_ppm(topic: &[f32], chunks: &[Chunk]) -> u64 {
    let mut mean = vec![0.0_f64; topic.len()];
    for chunk in chunks {
        for (sum, value) in mean.iter_mut().zip(&chunk.embedding.0) {
            *sum += f64::from(*value);
        }
    }
    let norm = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
    if norm == 0.0 {
        return 0;
    }
    let cosine = mean.iter().zip(topic).map(|(a, b)| a * f64::from(*b)).sum::<f64>() / norm;
    (cosine * 1e6).round().clamp(0.0, 1e6) as u64
}
