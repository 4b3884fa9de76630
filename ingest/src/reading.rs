//! One file, from bytes to embedded chunks: all the CPU work of an upload. Pure; it blocks.

use engine::{Embedder, EngineError};
use schemas::hashing;
use schemas::ids::{ChunkId, Sha256};
use schemas::tables::Embedding;

use crate::chunking::{self, ChunkLimits, ChunkingError};
use crate::duplicates::Fingerprint;
use crate::formats::{self, ParseError, Refusal};
use crate::language;
use crate::progress::{Progress, Stopped};
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

/// Why a file was not read to its end.
#[derive(Debug)]
pub(crate) enum ReadingError {
    Engine(EngineError),
    Stopped,
}

impl From<EngineError> for ReadingError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Stopped> for ReadingError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

/// Reads a file, all but its chunks' vectors, which [`embed`] adds.
///
/// # Errors
/// The embedder's. A file that cannot be read is no error but [`Reading::Refused`].
pub(crate) fn read(
    file_name: &str,
    bytes: &[u8],
    sha256: Sha256,
    embedder: &dyn Embedder,
    rules: &ReadingRules,
    progress: &Progress,
) -> Result<Reading, ReadingError> {
    let parsed = match formats::parse(file_name, bytes, progress) {
        Ok(parsed) => parsed,
        Err(ParseError::Refused(refusal)) => return Ok(Reading::Refused(refusal)),
        Err(ParseError::Stopped(stopped)) => return Err(stopped.into()),
    };
    let (media_type, parser) = (parsed.format.media_type(), parsed.format.parser());
    let ranges = match chunking::split(&parsed, embedder, rules.limits, progress) {
        Ok(ranges) => ranges,
        Err(ChunkingError::Engine(error)) => return Err(error.into()),
        Err(ChunkingError::Stopped(stopped)) => return Err(stopped.into()),
        Err(ChunkingError::TooMany) => {
            let most = rules.limits.max_chunks;
            let reason = format!("the file gives more than {most} chunks; split it into several files");
            return Ok(Reading::Refused(Refusal { code: "too_many_chunks", reason, media_type, parser }));
        }
    };
    let served = embedder.info().languages.as_slice();
    let unserved = language::is_unserved(&parsed.text, served);
    let mut chunks = Vec::with_capacity(ranges.len());
    for range in ranges {
        progress.go_on()?;
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
    Ok(Reading::Read(Document { media_type, parser, title: parsed.title, topic_similarity_ppm: 0, chunks }))
}

/// Gives the chunks of a document their vectors, and the document its likeness to the topic.
///
/// # Errors
/// The embedder's.
pub(crate) fn embed(
    mut document: Document,
    embedder: &dyn Embedder,
    rules: &ReadingRules,
    progress: &Progress,
) -> Result<Document, ReadingError> {
    for batch in document.chunks.chunks_mut(rules.embedding_batch_texts.max(1)) {
        progress.go_on()?;
        let texts: Vec<&str> = batch.iter().map(|chunk| chunk.text.as_str()).collect();
        let vectors = embedder.embed(&texts)?;
        for (chunk, vector) in batch.iter_mut().zip(vectors) {
            chunk.embedding = Embedding(vector);
        }
        progress.embedded(batch.len());
    }
    if let Some(topic) = embedder.embed(&[&rules.topic])?.first() {
        document.topic_similarity_ppm = similarity_ppm(topic, &document.chunks);
    }
    Ok(document)
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

#[cfg(test)]
mod tests {
    use engine::{EmbedderInfo, HashingEmbedder};

    use super::*;

    /// An embedder that says it was made for English.
    #[derive(Debug)]
    struct English {
        info: EmbedderInfo,
        inner: HashingEmbedder,
    }

    impl Embedder for English {
        fn info(&self) -> &EmbedderInfo {
            &self.info
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
            self.inner.embed(texts)
        }

        fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
            self.inner.count_tokens(text)
        }

        fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
            self.inner.token_offsets(text)
        }
    }

    /// The flags of all chunks of a file, each once.
    fn flags(name: &str, text: &str) -> Vec<String> {
        let inner = HashingEmbedder::new();
        let embedder = English { info: EmbedderInfo { languages: vec!["eng".to_owned()], ..inner.info().clone() }, inner };
        let limits = ChunkLimits { target_tokens: 180, max_chunks: 100 };
        let rules = ReadingRules { limits, embedding_batch_texts: 8, topic: "cold storage".to_owned() };
        let sha256 = hashing::sha256(text.as_bytes());
        let Reading::Read(document) = read(name, text.as_bytes(), sha256, &embedder, &rules, &Progress::default()).unwrap() else {
            panic!("{name} is refused");
        };
        document.chunks.into_iter().flat_map(|chunk| chunk.flags).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn chunks_say_what_a_curator_should_know() {
        assert_eq!(flags("a.txt", "The cold room keeps vaccines between 2 and 8 degrees."), Vec::<String>::new());
        assert_eq!(flags("a.txt", "橡树冷库把疫苗保存在二至八摄氏度之间。"), ["language_not_served"]);
        assert_eq!(flags("a.txt", "The cold rооm keeps vaccines cold."), ["mixed_scripts"]);
        assert_eq!(flags("a.html", "<p>At most 30<sup>1</sup> minutes, not <s>20</s>."), ["raised_number", "struck_text"]);
    }
}
