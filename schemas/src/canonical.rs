//! Canonical JSON (RFC 8785 restricted): keys sorted, no white space, strings, integers, booleans,
//! null, arrays and objects. Floats are refused: whatever is hashed or signed is exact.

use serde::Serialize;
use serde_json::Value;

use crate::SchemaError;

/// The canonical text of `value`.
///
/// # Errors
/// [`SchemaError::NotCanonical`] when it holds a float or cannot be serialised.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, SchemaError> {
    let value = serde_json::to_value(value).map_err(|error| SchemaError::NotCanonical(error.to_string()))?;
    let mut text = String::new();
    write(&value, &mut text)?;
    Ok(text)
}

fn write(value: &Value, text: &mut String) -> Result<(), SchemaError> {
    match value {
        Value::Number(number) if number.is_f64() => {
            return Err(SchemaError::NotCanonical(format!("{number} is a float")));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            // RFC 8785 sorts keys by UTF-16 code units.
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                if let Some(member) = members.get(key) {
                    write(member, text)?;
                }
            }
            text.push('}');
        }
    }
    Ok(())
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
}
