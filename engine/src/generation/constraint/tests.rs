use serde_json::json;

use super::*;

/// Bytes, then a few longer tokens, then two endings.
pub(crate) fn table() -> Arc<TokenTable> {
    let mut table = TokenTable::new(vec![260, 261]);
    for byte in 0..=255_u8 {
        table.push(&[byte], false);
    }
    for word in ["{\"", "\":", "true", "hello"] {
        table.push(word.as_bytes(), false);
    }
    table.push(b"<end>", true);
    table.push(b"<stop>", true);
    Arc::new(table)
}

/// Which tokens may come after `text`, byte by byte; none where the answer is complete.
fn allowed_after(constraint: &Constraint, text: &str) -> Option<Vec<u32>> {
    let mut grammar = Constraints::new(table()).compile(constraint).expect("a constraint");
    for byte in text.bytes() {
        let mut logits = [0.0; 263];
        grammar.restrict(&mut logits).expect("a mask");
        assert_eq!(logits[usize::from(byte)], 0.0, "{:?} is forbidden in {text:?}", char::from(byte));
        if grammar.accept(u32::from(byte)).expect("accepted") {
            return None;
        }
    }
    let mut logits = [0.0; 263];
    grammar.restrict(&mut logits).expect("a mask");
    Some(logits.iter().zip(0..).filter(|(logit, _)| **logit == 0.0).map(|(_, token)| token).collect())
}

#[test]
fn a_regular_expression_is_followed() {
    let regex = Constraint::Regex("(yes|no)!?".to_owned());
    assert_eq!(allowed_after(&regex, ""), Some(vec![u32::from(b'n'), u32::from(b'y')]));
    assert_eq!(allowed_after(&regex, "no"), Some(vec![u32::from(b'!'), 260, 261]), "it may end or go on");
    assert_eq!(allowed_after(&regex, "no!"), None, "it is complete");
    let slashes = Constraint::Regex(r"a/b\n/\\".to_owned());
    assert_eq!(allowed_after(&slashes, "a/b\n/\\"), None);
}

#[test]
fn a_schema_is_followed() {
    let schema = Constraint::JsonSchema(json!({
        "type": "object",
        "properties": { "kept": { "$ref": "#/$defs/flag" } },
        "required": ["kept"],
        "additionalProperties": false,
        "$defs": { "flag": { "type": "boolean" } }
    }));
    let first = allowed_after(&schema, "").expect("more");
    assert!(first.contains(&u32::from(b'{')) && first.contains(&256) && !first.contains(&u32::from(b'[')), "{first:?}");
    let value = allowed_after(&schema, r#"{"kept":"#).expect("more");
    assert!(value.contains(&258) && !value.contains(&u32::from(b'"')) && !value.contains(&260), "{value:?}");
    assert_eq!(allowed_after(&schema, r#"{"kept":true}"#), None);
}

#[test]
fn json_has_no_white_space_between_its_parts() {
    let spaced = |allowed: Vec<u32>| b" \n\r\t".iter().any(|space| allowed.contains(&u32::from(*space)));
    let asked = json!({ "type": "object", "x-guidance": { "whitespace_flexible": true } });
    for constraint in [Constraint::JsonObject, Constraint::JsonSchema(asked)] {
        for text in ["", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":[", "{\"a\":[1,", "{\"a\":[1]", "{\"a\":{},"] {
            assert!(!spaced(allowed_after(&constraint, text).expect("more")), "{text}");
        }
        assert!(spaced(allowed_after(&constraint, "{\"a b").expect("more")), "a text has spaces");
    }
}

#[test]
fn special_tokens_and_what_has_no_text_are_forbidden() {
    let anything = Constraint::Regex(r"(?s:.*)".to_owned());
    let allowed = allowed_after(&anything, "x").expect("more");
    assert!(allowed.contains(&259) && allowed.contains(&260));
    assert!(!allowed.contains(&262), "the model's vocabulary may be larger than the tokenizer's");
    assert!(!allowed.contains(&255), "0xff is in no text");
}

#[test]
fn the_place_of_an_error_is_named() {
    let check = |schema: Value, place: &str| {
        let error = Constraints::new(table()).compile(&Constraint::JsonSchema(schema.clone())).map(|_| ()).expect_err("an error");
        let message = error.to_string();
        assert!(matches!(error, EngineError::Prompt { .. }) && message.contains(&format!(" at {place}: ")), "{schema}: {message}");
        assert!(!message.contains('\n') && !message.contains("backtrace"), "{message}");
    };
    check(json!({ "type": "object", "properties": { "age": { "type": "integerr" } } }), "#/properties/age");
    check(json!({ "anyOf": [{ "type": "null" }, { "type": "array", "items": { "minimum": "x" } }] }), "#/anyOf/1/items");
    check(json!({ "$defs": { "a/b": { "type": 7 } }, "$ref": "#/$defs/a~1b" }), "#/$defs/a~1b");
    check(json!({ "$ref": "#/$defs/none" }), "#");
    check(json!("text"), "#");
    check(json!({ "type": "string", "pattern": "(" }), "#");
}

#[test]
fn a_broken_regular_expression_is_an_error() {
    for regex in ["(", "a\\", "[z-a]", "a{5,2}"] {
        let result = Constraints::new(table()).compile(&Constraint::Regex(regex.to_owned()));
        assert!(matches!(result, Err(EngineError::Prompt { .. })), "{regex}");
    }
    assert_eq!(allowed_after(&Constraint::Regex(String::new()), ""), Some(vec![260, 261]), "only the end matches nothing");
}

#[test]
fn a_grammar_that_costs_too_much_is_an_error() {
    let classes: String = ('\u{4e00}'..'\u{5400}').map(|character| format!("[\\p{{L}}&&[^{character}]]")).collect();
    let long = "a".repeat(CONSTRAINT_BYTES_MAX + 1);
    for regex in [classes, long.clone()] {
        let result = Constraints::new(table()).compile(&Constraint::Regex(regex));
        assert!(matches!(result, Err(EngineError::Prompt { .. })));
    }
    let result = Constraints::new(table()).compile(&Constraint::JsonSchema(json!({ "const": long })));
    assert!(result.is_err_and(|error| error.to_string().contains("bytes")));
}
