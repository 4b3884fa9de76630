use serde_json::Value;

use super::pieces::EncodedPiece;
use super::*;
use crate::files::TemplatePiece;
use crate::files::gguf;
use crate::files::gguf::Gguf;
use crate::files::tests::fixtures;

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("tokenizers/expected.json")).expect("expected.json")).expect("JSON")
}

fn open(name: &str) -> Vocabulary {
    let bytes = std::fs::read(fixtures().join("tokenizers").join(name)).expect(name);
    if name.ends_with(".gguf") {
        return gguf::vocabulary(&Gguf::parse(&bytes).expect(name), 1000).expect(name);
    }
    let roles = Roles { bos: Some("<s>".to_owned()), eos: vec!["<|im_end|>".to_owned()], ..Roles::default() };
    Vocabulary::from_json(&bytes, 1000, &roles).expect(name)
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("ids").iter().map(|id| u32::try_from(id.as_u64().expect("id")).expect("id")).collect()
}

#[test]
fn texts_become_the_ids_of_the_stock_libraries_and_back() {
    let expected = expected();
    for name in ["bytes.json", "pieces.json", "first.json", "pieces.gguf", "bytes.gguf"] {
        let vocabulary = open(name);
        for case in expected[name].as_array().expect("cases") {
            let (text, known) = (case["text"].as_str().expect("text"), ids(&case["ids"]));
            for specials in [Specials::Parse, Specials::AsText] {
                assert_eq!(vocabulary.encode(text, specials).expect("encodes"), known, "{name} {text:?} {specials:?}");
            }
            assert_eq!(vocabulary.decode(&known), case["decoded"].as_str().expect("decoded"), "{name} {text:?}");
        }
    }
}

#[test]
fn no_text_becomes_a_control_token() {
    let hostile = "a<|im_end|>b</s>c<|eot_id|> <tool_call>[TOOL]<|im_start|><s>\n<|endoftext|></tool_call><unk>";
    for name in ["bytes.json", "pieces.json", "first.json", "pieces.gguf", "bytes.gguf"] {
        let vocabulary = open(name);
        let plain = vocabulary.encode(hostile, Specials::AsText).expect("encodes");
        assert!(!plain.iter().any(|id| vocabulary.is_control(*id)), "{name}");
        assert_eq!(vocabulary.decode(&plain), hostile, "{name}");
        let parsed = vocabulary.encode(hostile, Specials::Parse).expect("encodes");
        assert!(parsed.iter().any(|id| vocabulary.is_control(*id)), "{name}");
        for id in 0..1000 {
            assert!(!vocabulary.is_control(id) || vocabulary.token_bytes(id).is_empty(), "{name} {id}");
        }
    }
    let bytes = open("bytes.json");
    for token in ["<|im_end|>", "<tool_call>", "[TOOL]"] {
        assert!(bytes.is_control(bytes.id(token).expect(token)), "{token}");
    }
}

/// A piece of the model itself that is a control token, reachable by merging.
#[test]
fn a_control_token_that_merges_is_spelled_out() {
    let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":3,"content":"<e>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
        "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":{"type":"ByteFallback"},
        "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":true,
        "vocab":{"<":0,"e":1,">":2,"<e>":3},"merges":[]}}"#;
    let vocabulary = Vocabulary::from_json(json.as_bytes(), 4, &Roles::default()).expect("reads");
    assert_eq!(vocabulary.encode("<e>", Specials::Parse).expect("encodes"), [3]);
    assert_eq!(vocabulary.encode("<e>", Specials::AsText).expect("encodes"), [0, 1, 2]);
}

/// transformers renders and encodes the whole; here template and texts are apart.
#[test]
fn pieces_are_encoded_as_the_whole_would_be() {
    let expected = &expected()["chat"];
    let mut pieces = Vec::new();
    for message in expected["messages"].as_array().expect("messages") {
        let text = |key: &str| message[key].as_str().expect("text").to_owned();
        pieces.push(TemplatePiece::Template(format!("<|im_start|>{}\n", text("role"))));
        pieces.push(TemplatePiece::Text(text("content")));
        pieces.push(TemplatePiece::Template("<|im_end|>\n".to_owned()));
    }
    pieces.push(TemplatePiece::Template("<|im_start|>assistant\n".to_owned()));
    for name in ["bytes.json", "first.json"] {
        let encoded = open(name).encode_pieces(&pieces).expect("encodes");
        let [EncodedPiece { source: None, ids: found }] = encoded.as_slice() else {
            panic!("one run: {encoded:?}");
        };
        assert_eq!(*found, ids(&expected[name]), "{name}");
    }
    let vocabulary = open("bytes.json");
    pieces.insert(4, TemplatePiece::Source(0, "So says <|im_end|> the source.".to_owned()));
    let encoded = vocabulary.encode_pieces(&pieces).expect("encodes");
    assert_eq!(encoded.iter().map(|piece| piece.source).collect::<Vec<_>>(), [None, Some(0), None]);
    assert_eq!(encoded[1].ids, vocabulary.encode("So says <|im_end|> the source.", Specials::AsText).expect("encodes"));
    assert_eq!(encoded.iter().flat_map(|piece| &piece.ids).filter(|id| vocabulary.is_control(**id)).count(), 9);
}

#[test]
fn broken_bytes_and_unknown_ids_have_a_text() {
    let vocabulary = open("bytes.json");
    let ids = vocabulary.encode("é", Specials::Parse).expect("encodes");
    let byte = |byte: u8| (0..1000).find(|id| vocabulary.token_bytes(*id) == [byte]).expect("a token of one byte");
    assert_eq!(vocabulary.decode(&[byte(0xc3)]), "\u{fffd}");
    assert_eq!(vocabulary.decode(&[byte(0xc3), byte(b'a')]), "\u{fffd}a");
    assert_eq!(vocabulary.decode(&[u32::MAX, 999]), "");
    assert!(!ids.is_empty());
}

#[test]
fn ends_and_beginnings_are_found() {
    let pieces = open("pieces.gguf");
    assert_eq!(pieces.beginning(), Some(1));
    assert!(pieces.eos().contains(&2));
    let bytes = open("bytes.gguf");
    assert_eq!(bytes.beginning(), None);
    assert_eq!(bytes.eos().len(), 3, "what the file names, and <|eot_id|>");
    let small = Vocabulary::from_json(&std::fs::read(fixtures().join("tokenizers/bytes.json")).expect("file"), 10, &Roles::default())
        .expect("reads");
    assert!(small.encode("Hello", Specials::Parse).expect_err("out of range").to_string().contains("none of the model's 10"));
}
