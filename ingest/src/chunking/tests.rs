use std::sync::atomic::{AtomicUsize, Ordering};

use engine::HashingEmbedder;
use proptest::prelude::*;

use super::*;
use crate::formats::parse;
use crate::progress::Progress;
use crate::test_support::prose;

const LIMITS: ChunkLimits = ChunkLimits { target_tokens: 180, max_chunks: 20_000 };

fn chunks(file_name: &str, bytes: &[u8], limits: ChunkLimits) -> (Parsed, Vec<Range<usize>>) {
    let parsed = parse(file_name, bytes, &Progress::default()).unwrap();
    let ranges = split(&parsed, &HashingEmbedder::new(), limits, &Progress::default()).unwrap();
    check(&parsed, &ranges);
    (parsed, ranges)
}

/// In order, disjoint, trimmed, within the window, and together everything but white space.
fn check(parsed: &Parsed, ranges: &[Range<usize>]) {
    let mut end = 0;
    for range in ranges {
        assert!(range.start >= end && range.start < range.end, "{range:?} after {end}");
        assert!(parsed.text[end..range.start].trim().is_empty(), "text lost before {range:?}");
        let text = &parsed.text[range.clone()];
        assert_eq!(text.trim(), text);
        let embedder = HashingEmbedder::new();
        assert!(embedder.count_tokens(text).unwrap() <= embedder.info().window_tokens - SPECIAL_TOKENS, "{range:?} is too long");
        end = range.end;
    }
    assert!(parsed.text[end..].trim().is_empty(), "text lost at the end");
    for section in parsed.sections.windows(2) {
        assert!(!ranges.iter().any(|range| range.start < section[0].end && range.end > section[1].start), "a chunk crosses records");
    }
}

#[test]
fn chunks_end_at_natural_boundaries() {
    let text = format!("# Storage\n\n{}\n\n# Transport\n\n{}\n\n- {}\n- short\n", prose(1, 9), prose(2, 30), prose(3, 6));
    let (parsed, ranges) = chunks("a.md", text.as_bytes(), LIMITS);
    let shown: Vec<String> = ranges
        .iter()
        .map(|range| {
            let text = &parsed.text[range.clone()];
            let head: String = text.chars().take(30).collect();
            let tail: String = text.chars().skip(text.chars().count().saturating_sub(20)).collect();
            format!("{range:?} {} tokens: {head:?} … {tail:?}", HashingEmbedder::new().count_tokens(text).unwrap())
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_heading_is_not_left_alone() {
    let text = format!("# Transport\n\n## Boxes\n\n{}\n\nThe end.\n", prose(2, 15));
    let (parsed, ranges) = chunks("a.md", text.as_bytes(), LIMITS);
    let texts: Vec<&str> = ranges.iter().map(|range| &parsed.text[range.clone()]).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let long = format!("# Transport\n\n{}", prose(2, 40));
    let (parsed, ranges) = chunks("a.md", long.as_bytes(), LIMITS);
    assert!(ranges.len() > 1 && parsed.text[ranges[0].clone()].len() > 200, "{ranges:?}");
}

#[test]
fn chunks_end_with_phrases_where_spaces_part_no_words() {
    let phrases = ["เก็บวัคซีนไว้ในตู้เย็นที่ปิดสนิทตลอดเวลา", "ห้ามแช่แข็งวัคซีนไม่ว่ากรณีใด", "ทิ้งขวดที่เปิดแล้วภายในยี่สิบแปดวันหลังจากเปิดใช้ครั้งแรก"];
    let text: String = (0..90).map(|at| format!("{} ", phrases[at % phrases.len()])).collect();
    for name in ["a.txt", "a.md"] {
        let (parsed, ranges) = chunks(name, text.as_bytes(), LIMITS);
        assert!(ranges.len() > 2, "{ranges:?}");
        for range in &ranges {
            let said = &parsed.text[range.clone()];
            assert!(phrases.iter().any(|phrase| said.ends_with(phrase)) && phrases.iter().any(|phrase| said.starts_with(phrase)), "{said}");
        }
    }
    let text = "保管します。（開封した容器は二十八日以内に廃棄し、記録を残すこと。）".repeat(60);
    for target in 20..60 {
        let (parsed, ranges) = chunks("a.txt", text.as_bytes(), ChunkLimits { target_tokens: target, max_chunks: 1_000 });
        assert!(ranges.iter().all(|range| !parsed.text[range.clone()].ends_with('（')), "{target}");
    }
}

#[test]
fn records_do_not_share_chunks() {
    let file = "{\"text\":\"one\"}\n{\"text\":\"two\"}\n";
    let (parsed, ranges) = chunks("a.jsonl", file.as_bytes(), LIMITS);
    let texts: Vec<&str> = ranges.iter().map(|range| &parsed.text[range.clone()]).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[test]
fn too_many_chunks_are_refused() {
    let parsed = parse("a.txt", prose(1, 100).as_bytes(), &Progress::default()).unwrap();
    let few = ChunkLimits { target_tokens: 20, max_chunks: 10 };
    assert!(matches!(split(&parsed, &HashingEmbedder::new(), few, &Progress::default()), Err(ChunkingError::TooMany)));
}

#[test]
fn hostile_texts_are_cut_in_bounded_work() {
    let small = ChunkLimits { target_tokens: 180, max_chunks: 1_000_000 };
    for hostile in ["x", "a\n\n", "[", "`", "漢"] {
        for name in ["a.txt", "a.md"] {
            chunks(name, format!("start {}", hostile.repeat(40_000 / hostile.len())).as_bytes(), small);
        }
    }
}

/// The hashing embedder, which counts the bytes that it is asked to count.
#[derive(Debug)]
struct Counting(HashingEmbedder, AtomicUsize);

impl Embedder for Counting {
    fn info(&self) -> &engine::EmbedderInfo {
        self.0.info()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.0.embed(texts)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
        self.1.fetch_add(text.len(), Ordering::Relaxed);
        self.0.count_tokens(text)
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        self.0.token_offsets(text)
    }
}

/// A chunk of writing is counted some ten times to find where it ends; what is no writing has no ends to be found.
#[test]
fn what_has_no_boundaries_is_cut_as_it_comes() {
    for run in ["x", "漢", "ก", "1", "e\u{301}", "👩\u{200d}🔬"] {
        let run = run.repeat(60_000 / run.len());
        for (name, text) in [("a.txt", run.clone()), ("a.md", format!("# Keys\n\nThe key is {run}, and that is it.\n\n{}", prose(1, 20)))] {
            let parsed = parse(name, text.as_bytes(), &Progress::default()).unwrap();
            let embedder = Counting(HashingEmbedder::new(), AtomicUsize::default());
            let ranges = split(&parsed, &embedder, LIMITS, &Progress::default()).unwrap();
            check(&parsed, &ranges);
            let counted = embedder.1.load(Ordering::Relaxed);
            assert!(ranges.len() > 20 && counted < 6 * text.len(), "{name} {:?}: {counted} of {}", &text[..10], text.len());
        }
    }
}

#[test]
fn a_run_is_told_from_writing() {
    let run = "x".repeat(LONGEST_RUN_BYTES);
    let text = format!("one two {run}, three");
    let end = 8 + run.len();
    assert_eq!(stretches(&text, 0..text.len()), [Stretch::Writing(0..8), Stretch::Run(8..end), Stretch::Writing(end..text.len())]);
    assert_eq!(stretches(&run, 0..run.len()), [Stretch::Run(0..run.len())]);
    for writing in [run.get(1..).unwrap().to_owned(), "漢字。".repeat(2_000), "a.".repeat(5_000), String::new()] {
        let expected: Vec<Stretch> = (!writing.is_empty()).then_some(Stretch::Writing(0..writing.len())).into_iter().collect();
        assert_eq!(stretches(&writing, 0..writing.len()), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// For text and Markdown a chunk is its bytes in the uploaded file, byte order mark and all.
    #[test]
    fn chunks_are_slices_of_the_file(
        text in "[ \\PC]{0,40}([a-z]{1,9}[ .\\n]|\r\n|\n\n# |\n- |é|漢|> |`){0,200}x",
        bom in any::<bool>(),
        name in "a\\.(txt|md)",
        target in 8_usize..200,
    ) {
        let file = format!("{}{text}", if bom { "\u{feff}" } else { "" });
        if parse(&name, file.as_bytes(), &Progress::default()).is_ok_and(|parsed| matches!(parsed.format, Format::Text | Format::Markdown)) {
            let (parsed, ranges) = chunks(&name, file.as_bytes(), ChunkLimits { target_tokens: target, max_chunks: 10_000 });
            for range in ranges {
                prop_assert_eq!(&file[parsed.map.source(range.clone())], &parsed.text[range]);
            }
        }
    }

    #[test]
    fn windows_partition(text in "([a-z]{1,300}[ \\n]|é){0,2000}", start in 0_usize..10) {
        let start = text.ceil_char_boundary(start.min(text.len()));
        let mut end = start;
        for window in windows(&text, start..text.len()) {
            prop_assert_eq!(window.start, end);
            prop_assert!(window.end > window.start && window.end - window.start <= WINDOW_BYTES && text.is_char_boundary(window.end));
            end = window.end;
        }
        prop_assert_eq!(end, text.len());
    }
}
