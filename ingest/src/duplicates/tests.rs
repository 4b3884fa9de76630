use proptest::prelude::*;
use schemas::Address;
use schemas::B256;
use schemas::alloy_primitives::keccak256;
use schemas::ids::{ChunkId, DocumentId, SubmissionId};

use super::fingerprint::{jaccard_ppm, shingles};
use super::*;
use crate::test_support::prose;

/// A document of one chunk per text, named by `n`; its chunks are named by `n` and their position.
fn document(n: u8, texts: &[String]) -> NewDocument {
    let chunks = texts.iter().zip(0_u8..).map(|(text, at)| NewChunk {
        chunk_id: chunk_id(n, at),
        flags: Vec::new(),
        fingerprint: Fingerprint::of(text),
    });
    NewDocument {
        document_id: DocumentId(B256::repeat_byte(n)),
        submission_id: SubmissionId(B256::repeat_byte(n)),
        contributor: Address::repeat_byte(n),
        file_name: format!("{n}.txt"),
        chunks: chunks.collect(),
    }
}

fn chunk_id(n: u8, at: u8) -> ChunkId {
    ChunkId(keccak256([n, at]))
}

fn index(documents: &[&[String]]) -> Index {
    let mut index = Index::new(800_000);
    for (texts, n) in documents.iter().zip(1_u8..) {
        index.add(n.into(), vec![document(n, texts)]);
    }
    index
}

/// The cluster of a chunk, what it repeats, and how closely.
fn standing(index: &Index, n: u8, at: u8) -> (ChunkId, Option<(ChunkId, u64)>) {
    let standing = index.chunk(chunk_id(n, at), SubmissionId(B256::repeat_byte(n))).unwrap();
    (standing.cluster_id, standing.repeats.as_ref().map(|repeat| (repeat.chunk_id, repeat.similarity_ppm)))
}

/// `text` with its last `count` words replaced.
fn edited(text: &str, count: usize) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    let keep = words.len() - count;
    words.truncate(keep);
    format!("{} {}", words.join(" "), "edited ".repeat(count))
}

/// Texts that are nearly alike, by the thousand: each is placed beside the first, and compared with no more than so many.
#[test]
fn a_flood_of_texts_that_are_nearly_alike_is_compared_with_few() {
    let mut clusters = Clusters::new(800_000);
    let text = prose(7, 60);
    for n in 0..3 * clusters::MAX_CHUNKS_PER_BAND {
        let word: String = n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
        let id = ChunkId(keccak256(word.as_bytes()));
        let placed = clusters.place(id, Fingerprint::of(&format!("{text} x{word}")));
        assert_eq!((placed.cluster_id == ChunkId(keccak256(b"a")), placed.repeats.is_some()), (true, n > 0), "{n}");
    }
    assert_eq!(clusters.fullest_band(), clusters::MAX_CHUNKS_PER_BAND);
}

#[test]
fn words_are_folded() {
    let folded = |text| words(text).join("|");
    assert_eq!(folded("Größe: 5 µm, Café!"), "große|5|μm|cafe");
    assert_eq!(folded("ﬁne ＡＢＣ ig\u{200b}nore e\u{301}"), "fine|abc|ignore|e");
    assert_eq!(folded("日本語 text"), "日本語|text");
    assert_eq!(folded("vаccine at −5 °C"), folded("Vaccine at -5 °C"));
    assert_eq!(folded("— … !"), "");
}

#[test]
fn the_first_keeps_the_content() {
    let original = prose(1, 12);
    let shouted = original.to_uppercase().replace(' ', "  ").replace('.', " !");
    let near = edited(&original, 5);
    let index = index(&[&[original.clone()], &[shouted], &[near.clone()], &[prose(2, 12)], &[near], &[original]]);
    let first = chunk_id(1, 0);
    assert_eq!(standing(&index, 1, 0), (first, None));
    assert_eq!(standing(&index, 2, 0), (first, Some((first, 1_000_000))), "case, spacing and punctuation do not matter");
    let (cluster, repeat) = standing(&index, 3, 0);
    assert_eq!(cluster, first);
    let (of, ppm) = repeat.unwrap();
    assert!(of == first && (800_000..1_000_000).contains(&ppm), "{ppm}");
    assert_eq!(standing(&index, 4, 0), (chunk_id(4, 0), None));
    assert_eq!(standing(&index, 5, 0), (first, Some((chunk_id(3, 0), 1_000_000))), "a copy of a variant is in the same cluster");
    assert_eq!(standing(&index, 6, 0), (first, Some((first, 1_000_000))));
}

/// A near-copy that says another number, unit or negation is none.
#[test]
fn a_correction_is_no_copy() {
    let before = format!("{} An opened vial keeps for 31 days and is not frozen.", prose(9, 12));
    let changed = |from: &str, to: &str| before.replace(from, to);
    let corrections =
        [changed("31 days", "10 weeks"), changed("31 days", "31 weeks"), changed("31 days", "30 days"), changed("is not", "is always")];
    for after in corrections {
        let index = index(&[std::slice::from_ref(&before), &[after.clone()]]);
        assert_eq!(standing(&index, 2, 0), (chunk_id(2, 0), None), "{after}");
    }
    let shorter = changed(" and is not frozen", " and is not frozen again");
    let index = index(&[&[before], &[shorter]]);
    assert_eq!(standing(&index, 2, 0).0, chunk_id(1, 0));
}

#[test]
fn likeness_to_a_later_member_makes_nobody_a_member() {
    let words: Vec<String> = (0..90).map(|n| format!("word{n}")).collect();
    let texts: Vec<Vec<String>> = (0..4).map(|step| vec![words[step * 6..step * 6 + 60].join(" ")]).collect();
    let index = index(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(standing(&index, 2, 0).0, chunk_id(1, 0));
    let (cluster, repeats) = standing(&index, 3, 0);
    assert_eq!((cluster, repeats.map(|(of, _)| of)), (chunk_id(3, 0), Some(chunk_id(2, 0))));
    assert_eq!(standing(&index, 4, 0).0, chunk_id(3, 0), "the first member that it is like");
}

#[test]
fn ones_own_repeats_and_texts_without_words_cluster_too() {
    let text = prose(3, 6);
    let index = index(&[&[text.clone(), text, "***".into(), "---".into(), "***".into(), "yes".into(), "Yes!".into()]]);
    let cluster = |at| standing(&index, 1, at).0;
    assert_eq!(cluster(1), chunk_id(1, 0));
    assert_eq!((cluster(2), cluster(3), cluster(4)), (chunk_id(1, 2), chunk_id(1, 3), chunk_id(1, 2)));
    assert_eq!(cluster(6), chunk_id(1, 5));
}

#[test]
fn shifted_chunk_boundaries_show_on_the_document() {
    let text = prose(4, 60);
    let words: Vec<&str> = text.split(' ').collect();
    let cut = |size: usize, skip: usize| -> Vec<String> { words[skip..].chunks(size).map(|words| words.join(" ")).collect() };
    let (original, copy, part) = (cut(100, 0), cut(137, 31), words[40..140].join(" "));
    let index = index(&[&original, &copy, &[part], &[prose(5, 40)]]);
    let overlap = |n: u8| index.document(DocumentId(B256::repeat_byte(n))).unwrap().0.overlap;
    assert_eq!(overlap(1), None);
    assert!(matches!(overlap(2), Some((0, 900_000..))), "{:?}", overlap(2));
    assert_eq!(overlap(3), Some((0, 1_000_000)), "the earliest of those that hold it all");
    assert_eq!(overlap(4), None);
}

#[test]
fn large_documents_are_estimated() {
    let (a, b) = (prose(6, 1500), prose(7, 1500));
    let both = format!("{a} {b}");
    let index = index(&[std::slice::from_ref(&both), std::slice::from_ref(&a), &[format!("{} {}", prose(8, 1500), b)]]);
    let overlap = |n: u8| index.document(DocumentId(B256::repeat_byte(n))).unwrap().0.overlap.unwrap();
    assert!(overlap(2).1 > 990_000, "{:?}", overlap(2));
    assert!((400_000..600_000).contains(&overlap(3).1), "{:?}", overlap(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The share of equal signature entries estimates the true similarity; beyond the threshold a pair always
    /// becomes a candidate.
    #[test]
    fn minhash_estimates_jaccard(shared in 1_u64..300, mine in 0_u64..150, theirs in 0_u64..150, salt in any::<u64>()) {
        let set = |from: u64, to: u64| -> Vec<u64> { (from..to).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt).collect() };
        let sorted = |mut set: Vec<u64>| { set.sort_unstable(); set };
        let a = sorted([set(0, shared), set(10_000, 10_000 + mine)].concat());
        let b = sorted([set(0, shared), set(20_000, 20_000 + theirs)].concat());
        let truth = jaccard_ppm(&a, &b);
        prop_assert_eq!(truth, shared * 1_000_000 / (shared + mine + theirs));
        let (a, b) = (minhash::signature(&a), minhash::signature(&b));
        let equal = a.iter().zip(&b).filter(|(a, b)| a == b).count() as u64;
        let estimate = equal * 1_000_000 / minhash::PERMUTATIONS as u64;
        // Five standard errors of 128 trials.
        prop_assert!(estimate.abs_diff(truth) < 222_000, "{} for {}", estimate, truth);
        if truth >= 800_000 {
            prop_assert!(minhash::bands(&a).iter().zip(minhash::bands(&b)).any(|(a, b)| *a == b));
        }
    }

    #[test]
    fn shingles_are_a_set(words in prop::collection::vec(0_u64..4, 0..60)) {
        let shingles = shingles(&words);
        prop_assert!(shingles.windows(2).all(|pair| pair[0] < pair[1]));
        let distinct: std::collections::HashSet<&[u64]> = words.windows(5.min(words.len().max(1))).collect();
        prop_assert_eq!(shingles.len(), distinct.len());
    }
}
