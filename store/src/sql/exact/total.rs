//! `sum` and `avg` of whole numbers and decimals: added up in 256 bits, and an error where the result has no
//! place in its type. Floats and durations are left to DataFusion's own.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::types::{NativeType, logical_float64};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Coercion, GroupsAccumulator, ReversedUDAF, Signature, TypeSignature, TypeSignatureClass,
    Volatility,
};
use schemas::arrow::array::{Array, ArrayRef, AsArray};
use schemas::arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Field, FieldRef, Int64Type, UInt64Type, i256,
};

use crate::sql::functions::DIGITS;

/// Digits that a mean has more than its values: as many as PostgreSQL gives at least.
const MEAN_DIGITS: i8 = 16;

pub(in crate::sql) fn sum() -> AggregateUDF {
    let own = sum_udaf();
    AggregateUDF::from(Total { signature: own.signature().clone(), own, kind: Kind::Sum })
}

/// Of whole numbers it is a decimal: a float would not hold them.
pub(in crate::sql) fn mean() -> AggregateUDF {
    let exact = |class| TypeSignature::Coercible(vec![Coercion::new_exact(class)]);
    let from = |class, accepted, becomes| TypeSignature::Coercible(vec![Coercion::new_implicit(class, vec![accepted], becomes)]);
    let float = TypeSignatureClass::Native(logical_float64());
    let taken = vec![
        exact(TypeSignatureClass::Decimal),
        exact(TypeSignatureClass::Duration),
        from(TypeSignatureClass::Decimal, TypeSignatureClass::Integer, NativeType::Decimal(20, 0)),
        from(float, TypeSignatureClass::Float, NativeType::Float64),
    ];
    AggregateUDF::from(Total { own: avg_udaf(), kind: Kind::Mean, signature: Signature::one_of(taken, Volatility::Immutable) })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Mean,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    /// DataFusion's function, for what is not exact in the first place.
    own: Arc<AggregateUDF>,
    kind: Kind,
    signature: Signature,
}

/// Whether a result of this type is added up here.
fn is_exact(kind: Kind, result: &DataType) -> bool {
    match kind {
        Kind::Sum => matches!(result, DataType::Int64 | DataType::UInt64 | DataType::Decimal256(..)),
        Kind::Mean => matches!(result, DataType::Decimal256(..)),
    }
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        self.own.name()
    }

    fn aliases(&self) -> &[String] {
        self.own.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.own.coerce_types(types)
    }

    /// Decimals become the widest: there is then room for any sum of them, and the sum of sums has the same type.
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let scale = match types {
            [
                DataType::Decimal32(_, scale)
                | DataType::Decimal64(_, scale)
                | DataType::Decimal128(_, scale)
                | DataType::Decimal256(_, scale),
            ] => *scale,
            _ => return self.own.return_type(types),
        };
        match self.kind {
            Kind::Sum => Ok(DataType::Decimal256(DIGITS, scale)),
            Kind::Mean if scale.saturating_add(MEAN_DIGITS) > DIGITS as i8 => plan_err!("avg of numbers with {scale} decimal places"),
            Kind::Mean => Ok(DataType::Decimal256(DIGITS, scale + MEAN_DIGITS)),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_exact(self.kind, args.return_type()) { Ok(Box::new(Sum::new(self.kind, &args))) } else { self.own.accumulator(args) }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if is_exact(self.kind, args.return_type()) {
            Ok(Box::new(Sum::new(self.kind, &args)))
        } else {
            self.own.create_sliding_accumulator(args)
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !is_exact(self.kind, args.return_type()) && self.own.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.own.create_groups_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_exact(self.kind, args.return_field.data_type()) {
            return self.own.state_fields(args);
        }
        let decimal = state_type(args.return_field.data_type());
        if args.is_distinct {
            let values = Field::new_list_field(decimal, true);
            return Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "values"), values, true))]);
        }
        let sum = Field::new(format_state_name(args.name, "sum"), decimal, true);
        let count = Field::new(format_state_name(args.name, "count"), DataType::UInt64, true);
        Ok(vec![Arc::new(sum), Arc::new(count)])
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Parts of a sum can be larger than the whole may be.
fn state_type(result: &DataType) -> DataType {
    match result {
        DataType::Decimal256(_, scale) => DataType::Decimal256(DIGITS, *scale),
        _ => DataType::Decimal256(DIGITS, 0),
    }
}

/// What was added up so far.
#[derive(Debug)]
struct Sum {
    kind: Kind,
    result: DataType,
    total: i256,
    count: u64,
    /// How often each value was there, where only different ones count.
    distinct: Option<HashMap<i256, u64>>,
}

impl Sum {
    fn new(kind: Kind, args: &AccumulatorArgs) -> Self {
        let distinct = args.is_distinct.then(HashMap::new);
        Self { kind, result: args.return_type().clone(), total: i256::ZERO, count: 0, distinct }
    }

    fn add(&mut self, value: i256) -> Result<()> {
        if let Some(seen) = &mut self.distinct {
            let times = seen.entry(value).or_default();
            *times += 1;
            if *times > 1 {
                return Ok(());
            }
        }
        self.total = self.total.checked_add(value).ok_or_else(too_large)?;
        self.count += 1;
        Ok(())
    }

    fn take(&mut self, value: i256) -> Result<()> {
        if let Some(seen) = &mut self.distinct {
            let Some(times) = seen.get_mut(&value) else { return exec_err!("a value leaves a window that it is not in") };
            *times -= 1;
            if *times > 0 {
                return Ok(());
            }
            seen.remove(&value);
        }
        self.total = self.total.checked_sub(value).ok_or_else(too_large)?;
        self.count -= 1;
        Ok(())
    }
}

fn too_large() -> datafusion::error::DataFusionError {
    exec_datafusion_err!("a sum has more digits than its type: cast its values to DECIMAL(76, 0), or sum fewer")
}

/// Gives every value that is not NULL to `each`.
fn for_each(values: &ArrayRef, mut each: impl FnMut(i256) -> Result<()>) -> Result<()> {
    match values.data_type() {
        DataType::Int64 => values.as_primitive::<Int64Type>().iter().flatten().try_for_each(|value| each(i256::from_i128(value.into()))),
        DataType::UInt64 => values.as_primitive::<UInt64Type>().iter().flatten().try_for_each(|value| each(i256::from_i128(value.into()))),
        DataType::Decimal32(..) => {
            values.as_primitive::<Decimal32Type>().iter().flatten().try_for_each(|value| each(i256::from_i128(value.into())))
        }
        DataType::Decimal64(..) => {
            values.as_primitive::<Decimal64Type>().iter().flatten().try_for_each(|value| each(i256::from_i128(value.into())))
        }
        DataType::Decimal128(..) => {
            values.as_primitive::<Decimal128Type>().iter().flatten().try_for_each(|value| each(i256::from_i128(value)))
        }
        DataType::Decimal256(..) => values.as_primitive::<Decimal256Type>().iter().flatten().try_for_each(each),
        other => exec_err!("{other} is not added up exactly"),
    }
}

impl Accumulator for Sum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for_each(values, |value| self.add(value))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        for_each(values, |value| self.take(value))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let DataType::Decimal256(precision, scale) = state_type(&self.result) else { return exec_err!("a sum's state is a decimal") };
        let decimal = |value| ScalarValue::Decimal256(value, precision, scale);
        match &self.distinct {
            Some(seen) => {
                let values: Vec<ScalarValue> = seen.keys().map(|value| decimal(Some(*value))).collect();
                Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Decimal256(precision, scale)))])
            }
            None => Ok(vec![decimal((self.count > 0).then_some(self.total)), ScalarValue::UInt64(Some(self.count))]),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        match states {
            [values] if self.distinct.is_some() => {
                values.as_list::<i32>().iter().flatten().try_for_each(|values| for_each(&values, |value| self.add(value)))
            }
            [sums, counts] => {
                for_each(sums, |sum| {
                    self.total = self.total.checked_add(sum).ok_or_else(too_large)?;
                    Ok(())
                })?;
                self.count += counts.as_primitive::<UInt64Type>().iter().flatten().sum::<u64>();
                Ok(())
            }
            _ => exec_err!("a sum's state has one or two columns"),
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.result);
        }
        let whole = self.total.to_i128();
        match (self.kind, &self.result) {
            (Kind::Sum, DataType::Int64) => {
                let fitting = whole.and_then(|total| i64::try_from(total).ok());
                Ok(ScalarValue::Int64(Some(fitting.ok_or_else(too_large)?)))
            }
            (Kind::Sum, DataType::UInt64) => {
                let fitting = whole.and_then(|total| u64::try_from(total).ok());
                Ok(ScalarValue::UInt64(Some(fitting.ok_or_else(too_large)?)))
            }
            (Kind::Sum, DataType::Decimal256(precision, scale)) => {
                Ok(ScalarValue::Decimal256(Some(within_digits(self.total)?), *precision, *scale))
            }
            (Kind::Mean, DataType::Decimal256(precision, scale)) => {
                let mean = mean_of(self.total, self.count).ok_or_else(too_large)?;
                Ok(ScalarValue::Decimal256(Some(within_digits(mean)?), *precision, *scale))
            }
            (_, other) => exec_err!("{other} is not added up exactly"),
        }
    }

    fn size(&self) -> usize {
        let entry = size_of::<(i256, u64)>() * 2;
        size_of_val(self) + self.distinct.as_ref().map_or(0, |seen| seen.capacity() * entry)
    }
}

/// With [`MEAN_DIGITS`] more digits, rounded half away from zero.
fn mean_of(total: i256, count: u64) -> Option<i256> {
    let (digits, count) = (i256::from_i128(10).checked_pow(MEAN_DIGITS as u32)?, i256::from_i128(count.into()));
    let two = i256::from_i128(2);
    let (whole, left) = (total.checked_div(count)?.checked_mul(digits)?, total.checked_rem(count)?);
    let half = if left < i256::ZERO { count.wrapping_neg() } else { count };
    let rounded = left.checked_mul(digits)?.checked_mul(two)?.checked_add(half)?.checked_div(count.checked_mul(two)?)?;
    whole.checked_add(rounded)
}

fn within_digits(value: i256) -> Result<i256> {
    let limit = i256::from_i128(10).checked_pow(u32::from(DIGITS)).ok_or_else(too_large)?;
    if value < limit && value > limit.wrapping_neg() { Ok(value) } else { Err(too_large()) }
}
