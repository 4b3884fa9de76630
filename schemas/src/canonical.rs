//! Canonical JSON (RFC 8785 restricted): keys sorted, no white space, strings, integers, booleans,
//! null, arrays and objects. Floats are refused: whatever is hashed or signed is exact.

use std::borrow::Borrow;
use std::cmp::Ordering;

use alloy_primitives::{B256, Keccak256};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::SchemaError;

/// The canonical text of `value`.
///
/// # Errors
/// [`SchemaError::NotCanonical`] when it holds a float or cannot be serialised.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, SchemaError> {
    let mut text = String::new();
    write(&value_of(value)?, &mut text)?;
    Ok(text)
}

/// keccak256 of the canonical text of the object `members` with `items` as its member `name`. That text is nowhere in memory: there
/// may be millions.
///
/// # Errors
/// [`SchemaError::NotCanonical`] as [`to_string`], and where `members` is no object or has a member `name`.
pub fn hash_with_items<I: Serialize>(members: &Value, name: &str, items: impl IntoIterator<Item = I>) -> Result<B256, SchemaError> {
    let members = members.as_object().ok_or_else(|| SchemaError::NotCanonical("no object".into()))?;
    if members.contains_key(name) {
        return Err(SchemaError::NotCanonical(format!("two members {name:?}")));
    }
    let (before, after): (Vec<_>, Vec<_>) = sorted(members).into_iter().partition(|(key, _)| order(key, name).is_lt());
    let mut text = Keccak256::new();
    text.push("{");
    for (key, member) in before {
        write_member(key, member, &mut text)?;
        text.push(",");
    }
    text.push(&format!("{}:", Value::from(name)));
    write_items(items.into_iter().map(|item| value_of(&item)), &mut text)?;
    for (key, member) in after {
        text.push(",");
        write_member(key, member, &mut text)?;
    }
    text.push("}");
    Ok(text.finalize())
}

/// Where a text goes.
trait Sink {
    fn push(&mut self, text: &str);
}

impl Sink for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Sink for Keccak256 {
    fn push(&mut self, text: &str) {
        self.update(text);
    }
}

fn value_of<T: Serialize>(value: &T) -> Result<Value, SchemaError> {
    serde_json::to_value(value).map_err(|error| SchemaError::NotCanonical(error.to_string()))
}

fn write(value: &Value, text: &mut impl Sink) -> Result<(), SchemaError> {
    match value {
        Value::Number(number) if number.is_f64() => return Err(SchemaError::NotCanonical(format!("{number} is a float"))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push(&value.to_string()),
        Value::Array(items) => write_items(items.iter().map(Ok), text)?,
        Value::Object(members) => {
            text.push("{");
            for (index, (key, member)) in sorted(members).into_iter().enumerate() {
                if index > 0 {
                    text.push(",");
                }
                write_member(key, member, text)?;
            }
            text.push("}");
        }
    }
    Ok(())
}

fn write_member(key: &str, value: &Value, text: &mut impl Sink) -> Result<(), SchemaError> {
    text.push(&format!("{}:", Value::from(key)));
    write(value, text)
}

fn write_items<V: Borrow<Value>>(items: impl Iterator<Item = Result<V, SchemaError>>, text: &mut impl Sink) -> Result<(), SchemaError> {
    text.push("[");
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(",");
        }
        write(item?.borrow(), text)?;
    }
    text.push("]");
    Ok(())
}

fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<(&String, &Value)> = members.iter().collect();
    members.sort_by(|(a, _), (b, _)| order(a, b));
    members
}

/// RFC 8785 sorts keys by UTF-16 code units.
fn order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_floats_refused() {
        let value = json!({"b": [1, null, true], "a": {"z": "é\n", "y": -3}, "€": 1, "😀": 2});
        assert_eq!(to_string(&value).unwrap(), r#"{"a":{"y":-3,"z":"é\n"},"b":[1,null,true],"€":1,"😀":2}"#);
        assert!(to_string(&json!({"x": 0.5})).is_err());
    }

    #[test]
    fn items_are_hashed_as_if_they_were_a_member() {
        for items in [vec![], vec!["z"], vec!["b", "a"]] {
            let whole = json!({"a": 1, "b": {"y": 1, "x": []}, "items": items, "z": "\n"});
            let members = json!({"z": "\n", "b": {"x": [], "y": 1}, "a": 1});
            let hash = hash_with_items(&members, "items", &items).unwrap();
            assert_eq!(hash, alloy_primitives::keccak256(to_string(&whole).unwrap()));
        }
        assert_eq!(hash_with_items(&json!({}), "a", [1]).unwrap(), alloy_primitives::keccak256(r#"{"a":[1]}"#));
        assert!(hash_with_items(&json!({"a": 1}), "a", [1]).is_err());
        assert!(hash_with_items(&json!([]), "a", [1]).is_err());
        assert!(hash_with_items(&json!({}), "a", [0.5]).is_err());
    }
}
