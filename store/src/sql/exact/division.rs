//! `/` of decimals, and of decimals and whole numbers, with as many places as a token has. Arrow's own has four more than its
//! dividend: a wei in tokens is nothing then.

use std::sync::Arc;

use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use schemas::U256;
use schemas::alloy_primitives::Uint;
use schemas::arrow::array::{Array, ArrayRef, AsArray, Decimal256Array};
use schemas::arrow::compute::cast;
use schemas::arrow::datatypes::{DataType, Decimal256Type, i256};
use schemas::arrow::error::ArrowError;

use crate::sql::functions::{DIGITS, decimal_limit};

/// Places after the point of a quotient, at least: those of a token.
const LEAST_SCALE: i8 = 18;
/// And so many more than its dividend has, as Arrow's own.
const MORE_DIGITS: i8 = 4;

/// Wide enough for a dividend of 76 digits with so many zeros after it.
type Wide = Uint<1024, 16>;
/// More than that only scales below zero ask for.
const MAX_ZEROS: u32 = 2 * DIGITS as u32;

pub(in crate::sql) fn division() -> ScalarUDF {
    ScalarUDF::from(Division { signature: Signature::any(2, Volatility::Immutable) })
}

/// Whether it divides a value of one type by one of the other: whole numbers and decimals, and not both whole.
pub(in crate::sql) fn divides(left: &DataType, right: &DataType) -> bool {
    scale_of(left).is_some() && scale_of(right).is_some() && (left.is_decimal() || right.is_decimal())
}

/// Places after the point; `None` for what is no exact number.
fn scale_of(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            Some(*scale)
        }
        whole => whole.is_integer().then_some(0),
    }
}

fn scale_of_quotient(dividend: i8) -> i8 {
    dividend.saturating_add(MORE_DIGITS).clamp(LEAST_SCALE, DIGITS as i8)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Division {
    signature: Signature,
}

impl ScalarUDFImpl for Division {
    fn name(&self) -> &str {
        "exact_divided_by"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let scale = types.first().and_then(scale_of).ok_or_else(|| plan_datafusion_err!("{} takes exact numbers", self.name()))?;
        Ok(DataType::Decimal256(DIGITS, scale_of_quotient(scale)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let are_scalars = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else { return exec_err!("{} takes two values", self.name()) };
        let quotients: ArrayRef = Arc::new(divide(left, right)?);
        if are_scalars {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&quotients, 0)?));
        }
        Ok(ColumnarValue::Array(quotients))
    }
}

fn divide(left: &ArrayRef, right: &ArrayRef) -> Result<Decimal256Array> {
    let (Some(left_scale), Some(right_scale)) = (scale_of(left.data_type()), scale_of(right.data_type())) else {
        return exec_err!("{} is not divided by {}", left.data_type(), right.data_type());
    };
    let scale = scale_of_quotient(left_scale);
    let zeros = i32::from(scale) - i32::from(left_scale) + i32::from(right_scale);
    let zeros = u32::try_from(zeros).ok().filter(|zeros| *zeros <= MAX_ZEROS);
    let zeros = zeros.ok_or_else(|| exec_datafusion_err!("{} is not divided by {}", left.data_type(), right.data_type()))?;
    let shift = Shift::new(zeros);
    let wide = |array: &ArrayRef, scale| cast(array, &DataType::Decimal256(DIGITS, scale));
    let (left, right) = (wide(left, left_scale)?, wide(right, right_scale)?);
    let pairs = left.as_primitive::<Decimal256Type>().iter().zip(right.as_primitive::<Decimal256Type>());
    let quotients = pairs.map(|(left, right)| left.zip(right).map(|(left, right)| shift.quotient(left, right, scale)).transpose());
    Ok(quotients.collect::<Result<Decimal256Array>>()?.with_precision_and_scale(DIGITS, scale)?)
}

/// Ten to the power that dividends are multiplied by.
struct Shift {
    /// Where it fits.
    narrow: Option<i256>,
    wide: Wide,
}

impl Shift {
    fn new(zeros: u32) -> Self {
        Self { narrow: i256::from_i128(10).checked_pow(zeros), wide: Wide::from(10).pow(Wide::from(zeros)) }
    }

    /// Cut off after its last place.
    fn quotient(&self, left: i256, right: i256, scale: i8) -> Result<i256> {
        if right == i256::ZERO {
            return Err(ArrowError::DivideByZero.into());
        }
        let magnitude = |value: i256| U256::from_be_bytes(value.wrapping_abs().to_be_bytes());
        let narrow = self.narrow.and_then(|shift| left.checked_mul(shift)?.checked_div(right));
        let (quotient, is_negative) = match narrow {
            Some(quotient) => (Wide::from(magnitude(quotient)), quotient < i256::ZERO),
            None => {
                let dividend = Wide::from(magnitude(left)) * self.wide;
                (dividend / Wide::from(magnitude(right)), (left < i256::ZERO) != (right < i256::ZERO))
            }
        };
        if quotient >= Wide::from(decimal_limit()) {
            let most = i32::from(DIGITS) - i32::from(scale);
            return exec_err!("a quotient has more than {most} digits before the point: cast what is divided to DOUBLE");
        }
        let quotient = i256::from_be_bytes(U256::from(quotient).to_be_bytes());
        Ok(if is_negative { quotient.wrapping_neg() } else { quotient })
    }
}
