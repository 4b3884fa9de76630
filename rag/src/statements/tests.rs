use std::sync::Arc;

use schemas::tables::{ChunkRow, OriginRow};

use super::*;
use crate::tests::world::{file, rows};

/// Members in registration order: one text per contributor and submission.
fn members(texts: &[(u8, &str)]) -> Vec<ChunkRow> {
    let files: Vec<_> = texts.iter().enumerate().map(|(n, (contributor, text))| file(&n.to_string(), *contributor, text)).collect();
    let embedder: Arc<dyn engine::Embedder> = Arc::new(engine::HashingEmbedder::new());
    let mut chunks = rows(Default::default(), &files, embedder.as_ref()).0;
    chunks.sort_by_key(|chunk| (chunk.registered, chunk.chunk_id, chunk.submission_id));
    chunks
}

fn parts(texts: &[(u8, &str)]) -> (Origins, Vec<String>) {
    let members = members(texts);
    let origin = |chunk: &ChunkRow| {
        let ChunkRow { chunk_id, submission_id, document_id, contributor, registered, .. } = *chunk;
        Origin::of(&OriginRow { chunk_id, submission_id, document_id, contributor, registered })
    };
    let origins = members.iter().map(origin).collect();
    (origins, members.into_iter().map(|chunk| chunk.text).collect())
}

fn first_of(origins: &Origins, count: usize) -> Origins {
    let first: Origins = origins.iter().take(count).copied().collect();
    assert!(origins.begin_with(&first));
    first
}

fn index(texts: &[(u8, &str)]) -> StatementIndex {
    let (origins, texts) = parts(texts);
    StatementIndex::build(&origins, &texts).unwrap()
}

/// How every statement of a chunk stands, in the order of the text.
fn standings(index: &StatementIndex, chunk: usize) -> Vec<Standing> {
    index.of_chunk(chunk).map(|statement| index.standing(statement.statement)).collect()
}

const ORIGINAL: &str = "Dry ice sublimates at -78.5 °C and must be vented during air transport. Never seal dry ice in an airtight container, \
     for the gas bursts it. A vented box with dry ice carries the label of class nine on two sides.";

#[test]
fn copies_state_nothing_of_their_own() {
    let copies = [
        ORIGINAL.to_owned(),
        // in other letters and order, with small words
        "A vented box with the dry ice carries the label of the class nine on its two sides. Dry iсe sublimates at -78.5 °C and so it must be \
         vented during the air transport. Never seal the dry ice in an airtight container, for its gas bursts it."
            .to_owned(),
        // every fifth word replaced
        "Dry ice sublimates at banana °C and must be banana during air transport. Never banana dry ice in an banana container, for the gas \
         banana it. A vented box banana dry ice carries the banana of class nine on banana sides."
            .to_owned(),
    ];
    for copy in &copies {
        let index = index(&[(1, ORIGINAL), (2, copy)]);
        assert_eq!(index.chunk(1), ChunkStanding::Repeats(0), "{copy}");
        assert!(standings(&index, 1).iter().all(|standing| matches!(standing, Standing::Repeats(_))), "{:?}", standings(&index, 1));
        assert_eq!(index.copies(0).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn what_a_copy_adds_is_its_own() {
    let more = format!("{ORIGINAL} Gloves of leather protect the hands of whoever unpacks the blocks.");
    let index = index(&[(1, ORIGINAL), (2, &more)]);
    assert_eq!(standings(&index, 1).last(), Some(&Standing::Own));
    let searched = index.searched_text(1, &more).unwrap();
    assert!(searched.contains("Gloves of leather") && !searched.contains("sublimates"), "{searched}");
    assert_eq!(index.searched_text(0, ORIGINAL).unwrap(), ORIGINAL);
}

#[test]
fn honest_texts_on_one_subject_are_their_own() {
    let other = "Dry ice is solid carbon dioxide. A shipper that holds dry ice loses about five percent of it each day. Air carriers limit how much \
         dry ice may be loaded into one hold. Staff who handle dry ice wear insulated gloves.";
    let index = index(&[(1, ORIGINAL), (2, other)]);
    assert_eq!(index.chunk(1), ChunkStanding::Speaks);
    assert!(standings(&index, 1).iter().all(|standing| *standing == Standing::Own), "{:?}", standings(&index, 1));
}

#[test]
fn numbers_units_and_negations_are_no_repetition() {
    let before = "The opened vial keeps for 31 days in the refrigerator.";
    for after in [
        "The opened vial keeps for 10 weeks in the refrigerator.",
        "The opened vial keeps for 31 weeks in the refrigerator.",
        "The opened vial never keeps for 31 days in the refrigerator.",
    ] {
        let by_another = index(&[(1, before), (2, after)]);
        assert_eq!(standings(&by_another, 1), [Standing::Differs(0)], "{after}");
        assert_eq!((by_another.contradicted(0), by_another.corrected(0)), (Some(1), None));
        let by_the_same = index(&[(1, before), (1, after)]);
        assert_eq!(standings(&by_the_same, 1), [Standing::Own]);
        assert_eq!((by_the_same.contradicted(0), by_the_same.corrected(0)), (None, Some(1)));
    }
    // a similar fact about something else corrects nothing
    let index = index(&[(1, "Opened insulin glargine keeps for 28 days."), (1, "Opened insulin lispro keeps for 31 days.")]);
    assert_eq!(index.corrected(0), None);
}

/// Each text is like the one before it; the last is not like the first.
#[test]
fn likeness_is_not_handed_on() {
    let words: Vec<String> = (0..40).map(|n| format!("word{n}")).collect();
    let text = |from: usize| format!("The {}.", words[from..from + 12].join(" and "));
    let texts: Vec<String> = (0..8).map(|step| text(step * 3)).collect();
    let members: Vec<(u8, &str)> = (1u8..).zip(&texts).map(|(n, text)| (n, text.as_str())).collect();
    let index = index(&members);
    assert_eq!(standings(&index, 1), [Standing::Repeats(0)]);
    assert!(standings(&index, 7).iter().all(|standing| *standing != Standing::Repeats(0)), "{:?}", standings(&index, 7));
}

#[test]
fn texts_that_say_nothing_are_not_searched() {
    let honest = "The vaccine is kept cold in a refrigerator, and its temperature range is written on the box of the vaccine.";
    let silent = "vaccine temperature refrigerator range box cold kept written storage degrees. What is the range of the vaccine? This page answers \
         how the vaccine is kept.";
    let index = index(&[(1, honest), (2, silent)]);
    assert_eq!(index.chunk(1), ChunkStanding::Silent);
    assert_eq!(index.searched_text(1, silent), None);
}

#[test]
fn the_first_to_say_it_is_found() {
    let index = index(&[(1, "Bread needs flour and time."), (2, ORIGINAL), (3, ORIGINAL), (4, "Something else is said in this place.")]);
    let said = schemas::said::Said::of("Dry ice sublimates at -78.5 °C and is vented during transport.");
    assert_eq!(index.first_to_say(&said), [1]);
    assert!(index.first_to_say(&schemas::said::Said::of("Penguins like it too.")).is_empty());
}

/// Texts that copy, correct, contradict and list keywords of each other.
fn entangled() -> Vec<(u8, String)> {
    let said = |who: u8, text: &str| (who, text.to_owned());
    let mut texts = vec![
        said(1, ORIGINAL),
        said(2, "Opened insulin glargine keeps for 28 days. Ne congelez jamais ce vaccin ouvert demain matin."),
        said(3, "Opened insulin glargine keeps for 31 days."),
        said(2, "Opened insulin glargine keeps for 30 days."),
        said(4, ORIGINAL),
        said(5, "vaccine temperature refrigerator range box cold kept written storage degrees label container"),
        said(1, "The vaccine is kept cold in a refrigerator, and its temperature range is written on the box of the vaccine."),
        said(2, "Opened insulin glargine does not keep for 30 days. A vented box with dry ice carries the label of class nine."),
        said(6, "Never seal dry ice in an airtight container, for the gas bursts it. And a storage label is written on the container."),
    ];
    texts.extend((0u8..12).map(|n| said(10 + n % 3, &format!("Crate {n} of the batch is kept at {} degrees in hall {}.", n % 4, n / 2))));
    texts
}

#[test]
fn an_extended_index_is_the_one_that_is_built_of_all() {
    let texts = entangled();
    let texts: Vec<(u8, &str)> = texts.iter().map(|(who, text)| (*who, text.as_str())).collect();
    let (origins, all) = parts(&texts);
    let whole = StatementIndex::build(&origins, &all).unwrap();
    let mut read_again = 0;
    for at in 1..texts.len() {
        let first = StatementIndex::build(&first_of(&origins, at), &all[..at]).unwrap();
        match first.extended(&origins, &all[at..]).unwrap() {
            Some(extended) => assert_eq!(extended.to_bytes(), whole.to_bytes(), "after {at}"),
            None => read_again += 1,
        }
    }
    // the list of keywords seems to state something until its words are known
    assert!((1..4).contains(&read_again), "{read_again}");
    let one_by_one = (7..texts.len()).try_fold(StatementIndex::build(&first_of(&origins, 7), &all[..7]).unwrap(), |index, at| {
        index.extended(&first_of(&origins, at + 1), &all[at..=at]).unwrap()
    });
    assert_eq!(one_by_one.unwrap().to_bytes(), whole.to_bytes());
}

#[test]
fn a_kept_index_is_the_same() {
    let texts = entangled();
    let texts: Vec<(u8, &str)> = texts.iter().map(|(who, text)| (*who, text.as_str())).collect();
    let (origins, all) = parts(&texts);
    let index = StatementIndex::build(&origins, &all).unwrap();
    let bytes = index.to_bytes();
    let again = StatementIndex::from_bytes(&bytes).unwrap();
    assert_eq!(again.to_bytes(), bytes);
    for (chunk, text) in all.iter().enumerate() {
        assert_eq!(again.searched_text(chunk, text), index.searched_text(chunk, text));
        assert_eq!(again.related(chunk), index.related(chunk));
        let said = schemas::said::Said::of(text);
        assert_eq!(again.first_to_say(&said), index.first_to_say(&said));
    }
    assert!(StatementIndex::from_bytes(&bytes[..bytes.len() - 1]).is_none());
    assert!(StatementIndex::from_bytes(&bytes[8..]).is_none());
}

#[test]
fn what_a_question_leaves_open_is_named() {
    for (question, open, is_measure) in [
        ("At what temperature does plasma thaw?", "temperature", true),
        ("After how many days must a vial be discarded?", "many days", true),
        ("At what temperature range should most vaccines be stored?", "temperature range", true),
        ("How long does it keep?", "long", true),
        ("How often is the warehouse audited?", "often", false),
        ("Which vaccines does freezing destroy?", "vaccines", false),
        ("Where is the temperature recorded?", "", false),
        ("¿Qué temperatura tiene?", "temperatura", false),
        ("May it be frozen?", "", false),
    ] {
        assert_eq!((left_open(question).join(" ").as_str(), asks_for_measure(question)), (open, is_measure), "{question}");
    }
}
