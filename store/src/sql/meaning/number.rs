//! A value that is compared with digits: which number it is, as far as it is known, and how the two are made comparable.

use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, cast, lit};
use schemas::arrow::array::AsArray;
use schemas::arrow::compute;
use schemas::arrow::datatypes::{DataType, i256};

use super::Meaning;
use super::compare::Operand;
use crate::sql::digits;
use crate::sql::functions::DIGITS;

/// What stands beside digits, or digits themselves.
#[derive(Debug)]
pub(super) enum Number {
    Digits(Expr),
    /// A constant, as digits are written.
    Known(String),
    /// A whole number or a decimal.
    Exact(Expr),
    Float(Expr),
    /// Text that may be a number.
    Text(Expr),
    Null(Expr),
    /// Nothing that is a number: types that do not fit are told by DataFusion.
    Other(Expr),
}

impl Number {
    /// # Errors
    /// For constant text that is no number.
    pub(super) fn of(operand: Operand) -> Result<Self> {
        let Operand { expr, meaning, data_type } = operand;
        if meaning == Meaning::Digits {
            return Ok(Self::Digits(expr));
        }
        if let Expr::Literal(value, _) = &expr {
            if value.is_null() {
                return Ok(Self::Null(expr));
            }
            if let Some(text) = text_of(value)? {
                return match digits::canonical(&text) {
                    Some(text) => Ok(Self::Known(text)),
                    None => plan_err!(
                        "{:?} is compared with a whole number, and is none in decimal digits",
                        text.chars().take(100).collect::<String>()
                    ),
                };
            }
        }
        Ok(match data_type {
            DataType::Null => Self::Null(expr),
            data_type if data_type.is_integer() || data_type.is_decimal() => Self::Exact(expr),
            data_type if data_type.is_floating() => Self::Float(expr),
            data_type if data_type.is_string() => Self::Text(expr),
            _ => Self::Other(expr),
        })
    }

    pub(super) fn is_exact(&self) -> bool {
        !matches!(self, Self::Float(_) | Self::Other(_))
    }

    /// As it sorts.
    pub(super) fn key(self) -> Expr {
        match self {
            Self::Known(text) => digits::key(lit(text)),
            Self::Digits(expr) | Self::Exact(expr) | Self::Text(expr) => digits::key(expr),
            Self::Float(expr) | Self::Null(expr) | Self::Other(expr) => expr,
        }
    }

    /// As columns of digits have it, to be the same text or not.
    pub(super) fn digits(self) -> Expr {
        match self {
            Self::Known(text) => lit(text),
            Self::Exact(expr) => digits::digits(expr),
            Self::Digits(expr) | Self::Text(expr) | Self::Float(expr) | Self::Null(expr) | Self::Other(expr) => expr,
        }
    }

    /// As it is compared with a float, which holds so many digits and no more.
    pub(super) fn float(self) -> Expr {
        match self {
            Self::Digits(expr) => cast(expr, DataType::Float64),
            other => other.digits(),
        }
    }
}

/// The text of a constant number, or constant text; `None` for what is neither.
fn text_of(value: &ScalarValue) -> Result<Option<String>> {
    match value {
        ScalarValue::Float64(Some(float)) => Ok(float.is_finite().then(|| float.to_string())),
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => Ok(text.clone()),
        value if value.data_type().is_integer() || value.data_type().is_decimal() => {
            let texts = compute::cast(&value.to_array()?, &DataType::Utf8)?;
            Ok(texts.as_string::<i32>().iter().next().flatten().map(str::to_owned))
        }
        _ => Ok(None),
    }
}

/// A whole float as the decimal that it is; `None` for another expression, and for more digits than a decimal has.
pub(super) fn whole(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(ScalarValue::Float64(Some(float)), _) = expr else { return None };
    let text = (float.is_finite() && float.fract() == 0.0).then(|| float.to_string())?;
    let precision = u8::try_from(text.trim_start_matches('-').len()).ok().filter(|precision| *precision <= DIGITS)?;
    // The narrower type where it suffices: a column that is compared with it stays as it is.
    let narrow =
        text.parse().ok().filter(|_| precision <= MAX_NARROW_DIGITS).map(|value| ScalarValue::Decimal128(Some(value), precision, 0));
    let wide = || Some(ScalarValue::Decimal256(Some(i256::from_string(&text)?), precision, 0));
    narrow.or_else(wide).map(lit)
}

/// Digits of a decimal of 128 bits.
const MAX_NARROW_DIGITS: u8 = 38;
