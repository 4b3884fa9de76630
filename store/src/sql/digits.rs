//! Whole numbers of 256 bits in decimal digits, as text that is compared as numbers are: a key sorts as its number does, and says
//! which it is. Keys are text, since that sorts everywhere, in windows too.

mod extreme;

use std::any::Any;
use std::sync::Arc;

use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use schemas::arrow::array::{ArrayRef, AsArray, StringArray};
use schemas::arrow::compute::cast;
use schemas::arrow::datatypes::DataType;

/// Digits before the point, at most: a key states their number in five.
const MAX_DIGITS: usize = 99_999;

/// What to do instead where such a number is not computed with.
pub(super) const HINT: &str =
    "of an integer of 256 bits, which is text here, the column NAME_decimal beside it is the number to compute with";

/// A number as text that sorts as it does: a sign, how many digits stand before the point, all digits. Of a negative number each
/// digit is what it lacks to nine, and what follows its last digit is above every digit. `None` for what is no number.
pub(super) fn key_of(text: &str) -> Option<String> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.len() > MAX_DIGITS {
        return None;
    }
    let digits = format!("{:05}{whole}{fraction}", whole.len());
    let is_zero = whole.is_empty() && fraction.is_empty();
    Some(if is_negative && !is_zero { format!("0{}~", complement(&digits)) } else { format!("1{digits}") })
}

/// The number that a key is of, in decimal digits.
fn text_of(key: &str) -> Option<String> {
    let (sign, digits) = match key.strip_prefix('0') {
        Some(rest) => ("-", complement(rest.strip_suffix('~')?)),
        None => ("", key.strip_prefix('1')?.to_owned()),
    };
    let (length, digits) = digits.split_at_checked(5)?;
    let (whole, fraction) = digits.split_at_checked(length.parse().ok()?)?;
    let (whole, point) = (if whole.is_empty() { "0" } else { whole }, if fraction.is_empty() { "" } else { "." });
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// A number without what may be left out: `007.50` is `7.5`. `None` for what is no number.
pub(super) fn canonical(text: &str) -> Option<String> {
    text_of(&key_of(text)?)
}

fn complement(digits: &str) -> String {
    digits.chars().map(|digit| digit.to_digit(10).and_then(|digit| char::from_digit(9 - digit, 10)).unwrap_or(digit)).collect()
}

/// `expr` as a key; numbers and text become one.
pub(super) fn key(expr: Expr) -> Expr {
    call(Kind::Key, expr)
}

/// A number, or the text of one, as digits are written in columns.
pub(super) fn digits(expr: Expr) -> Expr {
    call(Kind::Canonical, expr)
}

/// What [`key`] was made of.
pub(super) fn of_key(expr: Expr) -> Expr {
    call(Kind::Text, expr)
}

/// Whether the function makes digits.
pub(super) fn makes_digits(function: &ScalarUDF) -> bool {
    let any: &dyn Any = function.inner().as_ref();
    any.downcast_ref::<Digits>().is_some_and(|function| function.kind != Kind::Key)
}

/// `max` or `min` of digits, where `function` is the one of text.
pub(super) fn extreme(function: Arc<AggregateUDF>) -> Option<AggregateUDF> {
    extreme::of(function)
}

fn call(kind: Kind, expr: Expr) -> Expr {
    let known = match &expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => kind.of(text),
        _ => None,
    };
    let function = || ScalarUDF::from(Digits { kind, signature: Signature::any(1, Volatility::Immutable) });
    known.map_or_else(|| function().call(vec![expr]), lit)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Key,
    Text,
    Canonical,
}

impl Kind {
    fn of(self, text: &str) -> Option<String> {
        match self {
            Self::Key => key_of(text),
            Self::Text => text_of(text),
            Self::Canonical => canonical(text),
        }
    }

    /// Of every number, or text of one. Others end the query: sorted by their letters they would be wrong among numbers.
    fn of_all(self, values: &ArrayRef) -> Result<StringArray> {
        let texts = cast(values, &DataType::Utf8)?;
        let made = texts.as_string::<i32>().iter().map(|text| match text {
            None => Ok(None),
            Some(text) => match self.of(text) {
                Some(made) => Ok(Some(made)),
                None => exec_err!("{:?} is no number in decimal digits", text.chars().take(100).collect::<String>()),
            },
        });
        made.collect()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Digits {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Digits {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Key => "evm_digits_key",
            Kind::Text => "evm_digits_of_key",
            Kind::Canonical => "evm_digits",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(values)] => Ok(ColumnarValue::Array(Arc::new(self.kind.of_all(values)?))),
            [ColumnarValue::Scalar(value)] => {
                let made = self.kind.of_all(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?))
            }
            _ => exec_err!("{} takes one value", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_in_one_way() {
        for (text, expected) in [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("007", Some("7")),
            ("+5", Some("5")),
            ("-10", Some("-10")),
            ("1000", Some("1000")),
            ("5.50", Some("5.5")),
            ("5.", Some("5")),
            (".5", Some("0.5")),
            ("-0.05", Some("-0.05")),
            ("", None),
            ("-", None),
            (".", None),
            ("1e18", None),
            ("0x10", None),
            (" 1", None),
            ("1 ", None),
            ("1.2.3", None),
            ("--1", None),
            ("٣", None),
        ] {
            assert_eq!(canonical(text).as_deref(), expected, "{text:?}");
        }
        assert!(key_of(&"9".repeat(MAX_DIGITS)).is_some() && key_of(&"9".repeat(MAX_DIGITS + 1)).is_none());
        let order = ["-10", "-9.5", "-9.05", "-9", "-0.5", "0", "0.05", "0.5", "9", "9.05", "9.5", "10", "100"];
        assert!(order.map(|text| key_of(text).unwrap()).is_sorted_by(|a, b| a < b));
    }

    /// Up to 78 digits, and numbers with many digits in common.
    fn number() -> impl Strategy<Value = BigInt> {
        let digits = prop_oneof!["[0-9]{1,78}", "1{1,78}", "9{1,78}", "10{0,77}"];
        (digits, any::<bool>()).prop_map(|(digits, is_negative)| {
            let number: BigInt = digits.parse().unwrap();
            if is_negative { -number } else { number }
        })
    }

    proptest! {
        /// Keys sort as big integers do, and lead back to them.
        #[test]
        fn keys_sort_as_numbers_do(a in number(), b in number()) {
            let [key_a, key_b] = [&a, &b].map(|number| key_of(&number.to_string()).unwrap());
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
            prop_assert_eq!(text_of(&key_a), Some(a.to_string()));
        }
    }
}
