use std::fs;

use serde_json::Value;

use super::*;
use crate::files::Specials;
use crate::files::gguf::{Gguf, Metadata, vocabulary};
use crate::files::tests::fixtures;

/// llama.cpp's expressions for these leave marks out of words, the models' own do not.
const WITH_MARKS: [&str; 4] = ["gpt-4o", "llama4", "kanana2", "tekken"];

/// llama.cpp's ids, by tests/fixtures/make_cuts.py: whatever is not cut in these texts is one token.
#[test]
fn texts_are_cut_as_llama_cpp_cuts_them() {
    let bytes = fs::read(fixtures().join("tokenizers/cuts.gguf")).expect("fixture");
    let expected: Value = serde_json::from_slice(&fs::read(fixtures().join("tokenizers/cuts.json")).expect("fixture")).expect("JSON");
    let texts = expected["texts"].as_array().expect("texts");
    assert!(texts.len() > 20);
    let mut different = Vec::new();
    for name in Cuts::names() {
        let mut gguf = Gguf::parse(&bytes).expect("parses");
        gguf.metadata.insert("tokenizer.ggml.pre", Metadata::Text(name));
        let vocabulary = vocabulary(&gguf, 1000).unwrap_or_else(|error| panic!("{name}: {error}"));
        let known = expected["ids"][name].as_array().unwrap_or_else(|| panic!("{name} is not in cuts.json"));
        for (text, known) in texts.iter().zip(known) {
            let text = text.as_str().expect("text");
            if WITH_MARKS.contains(&name) && text.contains('\u{94d}') {
                continue;
            }
            let found: Value = vocabulary.encode(text, Specials::AsText).expect("encodes").into();
            if found != *known {
                different.push(format!("{name} {text:?}: {found}, not {known}"));
            }
        }
    }
    assert_eq!(different, Vec::<String>::new());
}

#[test]
fn unknown_ways_are_refused_by_name() {
    assert_eq!(Cuts::find("made-up").expect_err("unknown"), "tokenizer.ggml.pre is \"made-up\", a way to cut texts that is not known");
    assert!(Cuts::find(&"x".repeat(100)).expect_err("unknown").len() < 110);
}
