//! Measures the quote answerer with the real embedder on real questions. Needs weights and data
//! that are no part of the repository, so it runs by hand:
//!
//! ```text
//! HEADWATER_MINILM=<folder with model.safetensors> HEADWATER_DATA=<shared/data> HEADWATER_OUT=<file to write> \
//!   cargo test -p rag -- --ignored calibrate
//! HEADWATER_MINILM=… HEADWATER_OUT=<file to write> cargo test -p rag -- --ignored journey
//! ```
//!
//! The first writes, per question, the best sentences with their measures and whether they are
//! right. The second asks the demonstration's questions, and fails if a wrong one is answered or declined.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Embedder, MiniLm};
use serde_json::Value;

use super::world::{File, World, file};
use crate::open_version::Among;
use crate::question::Question;
use crate::retrieve;
use crate::{QuoteConfig, quote};

pub(super) struct Case {
    pub(super) question: String,
    /// Nothing where the source says it cannot be answered.
    pub(super) gold: BTreeSet<String>,
    pub(super) answers: Vec<String>,
    supporting: Vec<String>,
}

pub(super) struct Set {
    name: String,
    pub(super) files: Vec<File>,
    pub(super) cases: Vec<Case>,
}

pub(super) fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn data_set(data: &Path, name: &str, limit: usize) -> Set {
    let passages = lines(&data.join(name).join("passages.jsonl"));
    let files = passages.iter().map(|p| file(p["id"].as_str().unwrap(), 1, &text(&p["text"]).replace("\n\n", "\n"))).collect();
    let sentence = |pair: &Value| {
        let passage = passages.iter().find(|p| p["id"] == pair[0]).unwrap();
        text(&passage["sentences"][pair[1].as_u64().unwrap() as usize])
    };
    let strings = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let cases = (lines(&data.join(name).join("queries.jsonl")).iter().take(limit))
        .map(|query| Case {
            question: text(&query["question"]),
            gold: strings(&query["gold"]).into_iter().collect(),
            answers: strings(&query["answers"]),
            supporting: query["supporting"].as_array().into_iter().flatten().map(sentence).collect(),
        })
        .collect();
    Set { name: name.into(), files, cases }
}

/// The demonstration Datanets, HTML stripped of its tags crudely.
fn journey(demo: &Path) -> Vec<Set> {
    let journey: Value = serde_json::from_str(&std::fs::read_to_string(demo.join("journey.json")).unwrap()).unwrap();
    let cases = |datanet: &str| {
        let questions = journey["questions"].as_array().unwrap().iter().filter(|question| question["datanet"] == datanet);
        questions
            .map(|question| Case {
                question: text(&question["question"]),
                gold: question["sources"].as_array().unwrap().iter().map(text).collect(),
                answers: vec![],
                supporting: vec![],
            })
            .collect()
    };
    ["cold-chain", "medication-safety", "model-validation"]
        .map(|datanet| {
            let mut names: Vec<PathBuf> = super::world::files_below(&demo.join(datanet));
            names.sort();
            let files = (1u8..).zip(names).filter_map(|(n, path)| {
                let raw = std::fs::read_to_string(&path).ok()?; // one is no text by intent
                let name = format!("{datanet}/{}", path.file_name()?.to_string_lossy());
                Some(file(&name, n, &plain(&raw, &path)))
            });
            Set { name: datanet.into(), files: files.collect(), cases: cases(datanet) }
        })
        .into()
}

fn plain(raw: &str, path: &Path) -> String {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => {
            raw.lines().map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["text"])).collect::<Vec<_>>().join("\n\n")
        }
        Some("html") => {
            let body = raw.split("<body").nth(1).unwrap();
            let mut out = String::new();
            for part in body.split('<').skip(1) {
                let (tag, rest) = part.split_once('>').unwrap_or((part, ""));
                let block = ["p", "/p", "h1", "/h1", "h2", "/h2", "li", "/li", "tr", "/tr", "div", "ul"]
                    .iter()
                    .any(|name| tag.split(' ').next() == Some(name));
                out += if block { "\n\n" } else { " " };
                out += &rest.replace("&nbsp;", " ").replace("&ndash;", "–").replace("&amp;", "&").replace('\n', " ");
            }
            out.split("\n\n").map(str::trim).filter(|p| !p.is_empty()).collect::<Vec<_>>().join("\n\n")
        }
        _ => raw.trim().to_owned(),
    }
}

pub(super) fn var(name: &str) -> PathBuf {
    PathBuf::from(std::env::var(name).unwrap_or_else(|_| panic!("set {name}")))
}

fn demo() -> Vec<Set> {
    journey(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/demo"))
}

pub(super) fn embedder() -> Arc<dyn Embedder> {
    Arc::new(MiniLm::load(&var("HEADWATER_MINILM")).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs weights from outside the repository"]
async fn journey_questions() {
    let mut out = String::new();
    let mut wrong = Vec::new();
    for set in demo() {
        let world = World::with(embedder(), &set.files).await;
        let rag = world.rag().await;
        for case in &set.cases {
            let answer = world.ask(&rag, &case.question).await;
            let body = &answer.receipt.body;
            crate::verify_evidence(&rag.evidence(body.answer_id).await.unwrap()).unwrap();
            let cited: BTreeSet<String> = answer.citations.iter().filter_map(|citation| citation.file_name.clone()).collect();
            if case.gold.is_empty() != cited.is_empty() || !cited.is_subset(&case.gold) {
                wrong.push(case.question.clone());
            }
            writeln!(out, "{}\n  {}", case.question, answer.text).unwrap();
            for line in &answer.shares {
                let file = &set.files.iter().find(|file| line.contributor[0] == file.contributor).unwrap().name;
                let copy = if line.copy_of.is_some() { "copy " } else { "" };
                writeln!(out, "  {:>7} {copy}{file}", line.share_ppm).unwrap();
            }
            writeln!(out, "  {:>7} unattributed", body.unattributed_ppm).unwrap();
        }
    }
    std::fs::write(var("HEADWATER_OUT"), out).unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs weights and data from outside the repository"]
async fn calibrate() {
    let (data, embedder) = (var("HEADWATER_DATA"), embedder());
    let limit = std::env::var("HEADWATER_LIMIT").map_or(300, |limit| limit.parse().unwrap());
    let mut sets = demo();
    sets.push(data_set(&data, "clapnq-dev-a", limit));
    let mut squad = data_set(&data, "xquad-en", limit);
    // questions of the other set: nothing here answers them
    squad.cases.extend(data_set(&data, "clapnq-dev-a", limit / 2).cases.into_iter().map(|case| Case { gold: BTreeSet::new(), ..case }));
    sets.push(squad);
    let mut out = String::from(
        "set\tquestion\tanswerable\trank\tcosine\tcoverage\tfrom_gold\tright\tplace\tvector\twords\tbeside\tunknown\tasked\tterms\t\
         measures\trestates\tsentence\n",
    );
    for set in sets {
        measure(&set, embedder.clone(), &mut out).await;
    }
    std::fs::write(var("HEADWATER_OUT"), out).unwrap();
}

async fn measure(set: &Set, embedder: Arc<dyn Embedder>, out: &mut String) {
    let world = World::with(embedder.clone(), &set.files).await;
    let rag = world.rag().await;
    let config = world.config();
    let opened = rag.opened(world.datanet.datanet_id, None).await.unwrap();
    let names = world.store.scan::<schemas::tables::DocumentRow>(None).await.unwrap();
    for case in &set.cases {
        let question = Question::alone(&case.question, embedder.as_ref()).unwrap();
        let found =
            retrieve::retrieve(&opened, &question, &retrieve::method(&config, &question, None, None), None).await.unwrap().retrieved;
        let positions: Vec<usize> = found.iter().map(|retrieved| retrieved.position).collect();
        let asked = quote::content_words(&question.terms, &opened.text).unwrap();
        let unknown =
            asked.iter().filter(|(word, _)| opened.by_words(std::slice::from_ref(word), 1, &Among::default()).unwrap().is_empty()).count();
        let all = QuoteConfig { min_coverage_ppm: 0, min_score_ppm: 0, ..config.quote.clone() };
        let score = || quote::score(&question, &opened, &positions, embedder.as_ref(), &all);
        let scored = tokio::task::block_in_place(score).unwrap();
        for (rank, sentence) in (1..).zip(scored.iter().take(12)) {
            let said = sentence.candidate.text.as_str();
            let document = opened.origin(sentence.candidate.chunk).unwrap().document;
            let name = &names.iter().find(|row| row.document_id == document).unwrap().file_name;
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            let right = if case.supporting.is_empty() {
                case.answers.iter().any(|answer| words(said).contains(&words(answer)))
            } else {
                case.supporting.iter().any(|sentence| words(sentence).contains(&words(said)) || words(said).contains(&words(sentence)))
            };
            let from_gold = case.gold.contains(name);
            let candidate = &sentence.candidate;
            let place = positions.iter().position(|position| *position == candidate.chunk);
            let (vector, by_words) = place.map_or((None, None), |place| (found[place].vector, found[place].words));
            let passage = tokio::task::block_in_place(|| opened.passage(candidate.chunk)).unwrap();
            let beside = quote::coverage(&asked, &quote::sorted_terms(&passage.text));
            write!(
                out,
                "{}\t{}\t{}\t{rank}\t{:.4}\t{:.4}\t{from_gold}\t{right}\t",
                set.name,
                case.question,
                !case.gold.is_empty(),
                sentence.cosine,
                sentence.coverage,
            )
            .unwrap();
            let score = |place: Option<retrieve::Place>| place.map_or(0, |place| place.score_ppm);
            writeln!(
                out,
                "{}\t{}\t{}\t{beside:.4}\t{unknown}\t{}\t{}\t{}\t{}\t{}",
                place.map_or(99, |place| place + 1),
                score(vector),
                score(by_words),
                asked.len(),
                candidate.terms.len(),
                candidate.measures,
                candidate.restates,
                said.split_whitespace().collect::<Vec<_>>().join(" "),
            )
            .unwrap();
        }
        if scored.is_empty() {
            writeln!(
                out,
                "{}\t{}\t{}\t0\t0\t0\tfalse\tfalse\t99\t0\t0\t0\t{unknown}\t{}\t0\tfalse\tfalse\t",
                set.name,
                case.question,
                !case.gold.is_empty(),
                asked.len()
            )
            .unwrap();
        }
    }
}
