use proptest::prelude::*;
use schemas::ids::ChunkId;
use tantivy::TantivyDocument;

use super::*;
use crate::retrieve::Hit;

#[test]
fn terms_are_stemmed_words() {
    assert_eq!(terms("The Vaccines are stored at 2 °C; storing VACCINES!"), ["vaccin", "store", "2", "c"]);
    assert!(terms("the of and").is_empty());
    assert_eq!(terms("do not freeze -5 % or 10³"), ["not", "freez", "-5", "10^3"]);
    assert_eq!(terms(&"x".repeat(100)).len(), 1);
    assert!(terms("").is_empty());
}

#[test]
fn words_of_scripts_without_spaces_are_terms() {
    assert!(terms("橡树冷库把疫苗保存在二至八摄氏度之间。").iter().any(|term| term == "疫苗"));
    assert!(terms("เก็บวัคซีนไว้ที่อุณหภูมิ").iter().any(|term| term == "วัคซีน"));
    assert_eq!(terms("vаccine"), terms("vaccine"), "a Cyrillic letter hides no word");
}

/// The words of each text, by number.
type Texts = Vec<Vec<usize>>;

/// An index of texts whose positions follow one another, each list a segment of its own.
fn index_of(segments: &[Texts]) -> (tempfile::TempDir, TextIndex) {
    let dir = tempfile::tempdir().unwrap();
    let (schema, fields) = schema();
    let index = tantivy::Index::create_in_dir(dir.path(), schema).unwrap();
    index.tokenizers().register(ANALYZER, analyzer());
    let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, 20_000_000).unwrap();
    writer.set_merge_policy(Box::new(tantivy::merge_policy::NoMergePolicy));
    let mut position = 0;
    for texts in segments {
        for text in texts {
            let mut document = TantivyDocument::default();
            document.add_u64(fields.position, position);
            document.add_text(fields.text, text.iter().map(|word| format!("{} ", term(*word))).collect::<String>());
            writer.add_document(document).unwrap();
            position += 1;
        }
        writer.commit().unwrap();
    }
    let searcher = index.reader().unwrap().searcher();
    (dir, TextIndex { searcher, fields })
}

fn term(word: usize) -> String {
    format!("w{word}")
}

/// One in sixteen has the chunk of the one before it; ids are in another order than positions.
fn chunk(position: usize) -> ChunkId {
    let number = if position % 16 == 1 { position - 1 } else { position };
    ChunkId(schemas::alloy_primitives::keccak256(number.to_be_bytes()))
}

/// BM25 by its definition, over all texts.
fn best(texts: &Texts, asked: &[usize], limit: usize, sought: &dyn Fn(usize) -> Option<ChunkId>) -> Vec<Hit> {
    let count = texts.len() as f64;
    let mean = texts.iter().map(Vec::len).sum::<usize>() as f64 / count;
    let rarity = |word: &usize| {
        let with = texts.iter().filter(|text| text.contains(word)).count() as f64;
        (1.0 + (count - with + 0.5) / (with + 0.5)).ln()
    };
    let greatest = asked.iter().map(rarity).sum::<f64>() * 2.2;
    let rarities: Vec<f64> = asked.iter().map(rarity).collect();
    let mut scores: BTreeMap<ChunkId, f64> = BTreeMap::new();
    for (chunk, text) in (texts.iter().enumerate()).filter_map(|(position, text)| Some((sought(position)?, text))) {
        let part = |(word, rarity): (&usize, &f64)| {
            let often = text.iter().filter(|other| *other == word).count() as f64;
            rarity * 2.2 * often / (often + 1.2 * (0.25 + 0.75 * text.len() as f64 / mean))
        };
        let score: f64 = asked.iter().zip(&rarities).map(part).sum();
        let kept = scores.entry(chunk).or_default();
        *kept = score.max(*kept);
    }
    let mut best: Vec<(f64, ChunkId)> = scores.into_iter().filter(|(_, score)| *score > 0.0).map(|(chunk, score)| (score, chunk)).collect();
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    best.truncate(limit);
    best.into_iter().map(|(score, chunk)| Hit::new(chunk, score / greatest)).collect()
}

/// Long texts in one segment and short ones in another: what is the best of a block depends on the mean length.
fn segments() -> impl Strategy<Value = Vec<Texts>> {
    // rare words are rare
    let word = (0..24usize, 0..24usize).prop_map(|(a, b)| a * b / 24);
    let texts = (1..30usize)
        .prop_flat_map(move |longest| prop::collection::vec(prop::collection::vec(word.clone(), longest.div_ceil(2)..=longest), 1..400));
    prop::collection::vec(texts, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// In however many segments, whatever is sought.
    #[test]
    fn the_best_texts_are_those_of_bm25(segments in segments(), asked in prop::collection::btree_set(0..24usize, 1..8), limit in 1..60usize) {
        let (_dir, index) = index_of(&segments);
        let texts: Texts = segments.concat();
        let asked: Vec<usize> = asked.into_iter().collect();
        let terms: Vec<String> = asked.iter().map(|word| term(*word)).collect();
        let some = |position: usize| Some(chunk(position)).filter(|chunk| chunk.0[0] < 32);
        for sought in [&|position| Some(chunk(position)) as Option<ChunkId>, &some as &dyn Fn(usize) -> Option<ChunkId>] {
            prop_assert_eq!(index.search(&terms, limit, sought).unwrap(), best(&texts, &asked, limit, sought));
        }
    }
}

#[test]
fn of_texts_that_are_alike_the_first_by_id_are_found() {
    let texts: Texts = vec![vec![1, 2]; 300];
    let (_dir, index) = index_of(&[texts.clone(), texts.clone()]);
    let all: Texts = [texts.clone(), texts].concat();
    let sought = |position: usize| Some(chunk(position));
    for limit in [1, 7, 1000] {
        assert_eq!(index.search(&[term(1), term(9), term(2)], limit, &sought).unwrap(), best(&all, &[1, 9, 2], limit, &sought));
    }
    assert_eq!(index.search(&[term(9)], 5, &sought).unwrap(), []);
}

/// What is the best of a block for the mean length of its segment need not be the best for the mean of all: here that would hide the
/// best text of all in a block that seems to have nothing so good, after enough good ones.
#[test]
fn a_block_hides_no_text_that_is_long_for_its_segment() {
    let text = |often: usize, others: usize| [vec![1; often], vec![2; others]].concat();
    let mut short = vec![text(1, 0); 300];
    short[..6].fill(text(5, 29));
    short[200] = text(5, 25);
    // of one term alone tantivy looks at every text
    short[299] = vec![3];
    let long = vec![text(0, 30); 2000];
    let (_dir, index) = index_of(&[short.clone(), long.clone()]);
    let sought = |position: usize| Some(chunk(position));
    let found = index.search(&[term(1), term(3)], 5, &sought).unwrap();
    assert_eq!(found, best(&[short, long].concat(), &[1, 3], 5, &sought));
    assert!(found.iter().any(|hit| hit.chunk_id == chunk(200)));
}
