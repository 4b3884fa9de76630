//! Where in a schema the part is that cannot be followed: the library says what is wrong, rarely where.

use serde_json::Value;

/// Most parts that are tried.
const TRIES_MAX: usize = 256;

const SCHEMAS_BY_NAME: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const SCHEMA_LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const SCHEMAS: [&str; 9] = ["items", "additionalItems", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"];

/// The innermost part that fails alone, as a JSON pointer (RFC 6901) behind `#`, and why. `reason` is why the whole fails.
pub(super) fn find(schema: &Value, reason: String, compile: impl Fn(&Value) -> Result<(), String>) -> (String, String) {
    let (mut at, mut place, mut reason) = (schema, "#".to_owned(), reason);
    let mut tries = 0;
    'deeper: loop {
        for (step, part) in parts(at) {
            tries += 1;
            if tries > TRIES_MAX {
                return (place, reason);
            }
            if let Err(why) = compile(&with_definitions(part, schema)) {
                (at, place, reason) = (part, place + "/" + &step, why);
                continue 'deeper;
            }
        }
        return (place, reason);
    }
}

/// Schemas directly in this one, with the rest of the pointer to each.
fn parts(schema: &Value) -> Vec<(String, &Value)> {
    let Some(schema) = schema.as_object() else { return Vec::new() };
    let mut parts = Vec::new();
    for (keyword, value) in schema {
        match value {
            Value::Object(named) if SCHEMAS_BY_NAME.contains(&keyword.as_str()) => {
                parts.extend(named.iter().map(|(name, part)| (format!("{}/{}", escape(keyword), escape(name)), part)));
            }
            Value::Array(list) if SCHEMA_LISTS.contains(&keyword.as_str()) => {
                parts.extend(list.iter().enumerate().map(|(index, part)| (format!("{keyword}/{index}"), part)));
            }
            part if SCHEMAS.contains(&keyword.as_str()) => parts.push((keyword.clone(), part)),
            _ => {}
        }
    }
    parts
}

/// References into the whole schema's definitions still lead somewhere.
fn with_definitions(part: &Value, whole: &Value) -> Value {
    let mut part = part.clone();
    for keyword in ["$defs", "definitions", "$schema"] {
        if let (Some(part), Some(definitions)) = (part.as_object_mut(), whole.get(keyword)) {
            part.entry(keyword).or_insert_with(|| definitions.clone());
        }
    }
    part
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
