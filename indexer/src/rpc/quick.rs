//! The quick way through a reply: two answers in one batch, byte for byte in the form in which nodes write them.
//!
//! Only a shortcut. Whatever is not exactly so, also what is wrong, is left to [`super::envelope`], which
//! decides. So a mistake here may cost time; it must never make a value that the slow way would not make.

use serde::de::DeserializeOwned;

/// A value that can be read from the start of a text.
pub(crate) trait Quick: DeserializeOwned + Send + 'static {
    /// The value at the start of `text`, and the bytes that it takes; `None` leaves it to the slow way.
    fn quick(text: &[u8]) -> Option<(Self, usize)> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Self>();
        let value = values.next()?.ok()?;
        Some((value, values.byte_offset()))
    }
}

/// The answers in `body` to the calls `first_id` and the one after it.
pub(super) fn pair<A: Quick, B: Quick>(body: &[u8], first_id: u64) -> Option<(A, B)> {
    let rest = body.strip_prefix(b"[")?;
    let (first, rest) = answer(rest, first_id)?;
    let (second, rest) = answer(rest.strip_prefix(b",")?, first_id.checked_add(1)?)?;
    (rest == b"]").then_some((first, second))
}

fn answer<T: Quick>(text: &[u8], id: u64) -> Option<(T, &[u8])> {
    let rest = text.strip_prefix(b"{\"jsonrpc\":\"2.0\",\"id\":")?;
    let rest = rest.strip_prefix(id.to_string().as_bytes())?.strip_prefix(b",\"result\":")?;
    let (value, length) = T::quick(rest)?;
    Some((value, rest.get(length..)?.strip_prefix(b"}")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Quick for u64 {}
    impl Quick for String {}

    #[test]
    fn only_the_expected_form_is_read() {
        let read = |text: &str| pair::<u64, String>(text.as_bytes(), 9);
        let whole = r#"[{"jsonrpc":"2.0","id":9,"result":5},{"jsonrpc":"2.0","id":10,"result":"a}"}]"#;
        assert_eq!(read(whole), Some((5, "a}".into())));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None);
        }
        for (from, to) in [
            ("2.0", "1.0"),
            ("\"id\":9", "\"id\":10"),
            ("\"id\":9", "\"id\":99"),
            ("\"id\":10", "\"id\":11"),
            ("[", " ["),
            ("]", "],"),
            ("result", "error"),
            ("5", "-5"),
            ("5", "5,\"error\":null"),
            ("},{", "}{"),
        ] {
            assert_eq!(read(&whole.replacen(from, to, 1)), None, "{to}");
        }
    }
}
