//! `make bench-retrieval`: what each way to search finds, on data that are no part of the repository.
//!
//! Every passage is one chunk. Beside the sets as they are, one is put into letters that the embedder hardly knows, each for one
//! Latin letter: to words nothing changes but their endings, and to vectors nearly everything.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use engine::{Embedder, MiniLm};
use schemas::ids::ChunkId;
use serde_json::Value;

use super::calibration::{lines, text, var};
use super::world::{World, file};
use crate::Fusion;
use crate::open_version::Among;
use crate::question::Question;
use crate::retrieve::Hit;

const CANDIDATES: usize = 20;
const FOUND: usize = 10;
/// Sets of which the titles are no part of what is searched.
const UNTITLED: &str = "xquad-";
const SETS: [&str; 7] = ["scifact", "xquad-en", "xquad-de", "xquad-es", "xquad-zh", "hotpotqa-100", "clapnq-dev-a"];
const IN_OTHER_LETTERS: [(&str, &str); 3] = [
    ("in Arabic letters", "ابتثجحخدذرزسشصضطظعغفقكلمنه"),
    ("in Cyrillic letters", "абвгдежзийклмнопрстуфхцчшщ"),
    ("in Devanagari letters", "कखगघङचछजझञटठडढणतथदधनपफबभमय"),
];
const BEGIN: &str = "<!-- retrieval: begin -->";
const END: &str = "<!-- retrieval: end -->";

/// By question: the nDCG of each way.
type Measured = Vec<[f64; WAYS.len()]>;

const WAYS: [&str; 4] = ["words", "vectors", "rrf/2", "convex/1"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs weights and data from outside the repository"]
async fn bench_retrieval() {
    let embedder: Arc<dyn Embedder> = Arc::new(MiniLm::load(&var("HEADWATER_MINILM")).unwrap());
    let data = var("HEADWATER_DATA");
    let mut table = String::from(
        "| nDCG@10 | questions | words | vectors | rrf/2 | convex/1 | convex/1 less the better of words and vectors |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let alone = SETS.map(|set| (set.to_owned(), set, None));
    let lettered = IN_OTHER_LETTERS.map(|(name, letters)| (format!("xquad-en {name}"), "xquad-en", Some(letters)));
    for (name, set, letters) in alone.into_iter().chain(lettered) {
        let measured = measure(&data.join(set), letters, &embedder).await;
        let means = mean(&measured);
        let better = if means[0] >= means[1] { 0 } else { 1 };
        let (least, most) = interval(&measured, better);
        let [words, vectors, rrf, convex] = means;
        let line = format!(
            "| {name} | {} | {words:.3} | {vectors:.3} | {rrf:.3} | {convex:.3} | {:+.3} [{least:+.3}, {most:+.3}] |",
            measured.len(),
            convex - means[better]
        );
        println!("{line}");
        writeln!(table, "{line}").unwrap();
    }
    if let Ok(page) = std::env::var("RETRIEVAL_TABLE") {
        let text = std::fs::read_to_string(&page).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        std::fs::write(&page, format!("{before}{BEGIN}\n{table}{END}{after}")).unwrap();
    }
}

async fn measure(set: &Path, letters: Option<&str>, embedder: &Arc<dyn Embedder>) -> Measured {
    let put = |text: String| letters.map_or_else(|| text.clone(), |letters| in_letters(&text, letters));
    let titled = !set.file_name().unwrap().to_string_lossy().starts_with(UNTITLED);
    let searched = |passage: &Value| {
        let said = text(&passage["text"]).replace("\n\n", "\n");
        put(if titled { format!("{}. {said}", text(&passage["title"])) } else { said })
    };
    let passages = lines(&set.join("passages.jsonl"));
    let files: Vec<_> = passages.iter().map(|passage| file(&text(&passage["id"]), 1, &searched(passage))).collect();
    let world = World::with(embedder.clone(), &files).await;
    let opened = world.rag().await.opened(world.datanet.datanet_id, None).await.unwrap();
    let rows = world.store.members(world.datanet.datanet_id, opened.row.lance_version).await.unwrap();
    let names: HashMap<ChunkId, String> =
        rows.iter().map(|row| (row.chunk_id, opened.file_name(row.document_id).unwrap().to_owned())).collect();
    let mut measured = Measured::new();
    for query in lines(&set.join("queries.jsonl")) {
        let gold: BTreeSet<String> = query["gold"].as_array().into_iter().flatten().map(text).collect();
        if gold.is_empty() {
            continue;
        }
        let question = Question::alone(&put(text(&query["question"])), embedder.as_ref()).unwrap();
        let by_vector = opened.nearest(&question.vector, CANDIDATES.min(opened.speaking()), &Among::default()).await.unwrap();
        let by_words = opened.by_words(&question.terms, CANDIDATES, &Among::default()).unwrap();
        let found = |fusion: Fusion, by_vector: &[Hit], by_words: &[Hit]| {
            let fused = fusion.fuse(by_vector, by_words, FOUND);
            ndcg(fused.iter().map(|fused| names[&fused.chunk_id].as_str()), &gold)
        };
        let rrf = Fusion::ReciprocalRank { k: 20 };
        measured.push([
            found(rrf, &[], &by_words),
            found(rrf, &by_vector, &[]),
            found(rrf, &by_vector, &by_words),
            found(Fusion::default(), &by_vector, &by_words),
        ]);
    }
    measured
}

fn in_letters(text: &str, letters: &str) -> String {
    let letters: Vec<char> = letters.chars().collect();
    let put = |c: char| if c.is_ascii_lowercase() { letters[usize::from(c as u8 - b'a')] } else { c };
    text.to_lowercase().chars().map(put).collect()
}

/// Normalised discounted cumulative gain at [`FOUND`], of binary relevance.
fn ndcg<'a>(found: impl Iterator<Item = &'a str>, gold: &BTreeSet<String>) -> f64 {
    let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let best: f64 = (0..gold.len().min(FOUND)).map(gain).sum();
    let mut seen = BTreeSet::new();
    let new = found.filter(|name| seen.insert(*name));
    new.enumerate().filter(|(_, name)| gold.contains(*name)).map(|(rank, _)| gain(rank)).sum::<f64>() / best
}

fn mean(measured: &Measured) -> [f64; WAYS.len()] {
    std::array::from_fn(|way| measured.iter().map(|one| one[way]).sum::<f64>() / measured.len() as f64)
}

/// 95 % of the differences between the last way and another, over the same questions drawn again 2,000 times.
fn interval(measured: &Measured, other: usize) -> (f64, f64) {
    let mut state = 1u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let one = &measured[(state >> 33) as usize % measured.len()];
        one[WAYS.len() - 1] - one[other]
    };
    let mut means: Vec<f64> = (0..2000).map(|_| (0..measured.len()).map(|_| draw()).sum::<f64>() / measured.len() as f64).collect();
    means.sort_by(f64::total_cmp);
    (means[50], means[1949])
}
