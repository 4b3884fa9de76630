//! Arithmetic that is right or an error: no integer wraps, no decimal loses a digit on its way.

mod division;
mod total;

use std::sync::Arc;

use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use schemas::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use schemas::arrow::compute::kernels::numeric::neg;
use schemas::arrow::datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Field, FieldRef, Schema};

use super::bounded::check_bytes;
pub(super) use division::{divides, division};
pub(super) use total::{mean, sum};

/// `left op right`, checked. `max_bytes` bounds texts that are put together.
pub(super) fn arithmetic(op: Operator, max_bytes: usize) -> ScalarUDF {
    ScalarUDF::from(Arithmetic { op, max_bytes, signature: Signature::any(2, Volatility::Immutable) })
}

/// `-value`, checked.
pub(super) fn negation() -> ScalarUDF {
    ScalarUDF::from(Negation { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    op: Operator,
    max_bytes: usize,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.op {
            Operator::Plus => "exact_plus",
            Operator::Minus => "exact_minus",
            Operator::Multiply => "exact_times",
            Operator::Divide => "exact_divided_by",
            Operator::Modulo => "exact_modulo",
            _ => "exact_concatenation",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left, right] => BinaryTypeCoercer::new(left, &self.op, right).get_result_type(),
            _ => exec_err!("{} takes two values", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.op == Operator::StringConcat {
            let bytes = args.args.iter().map(|value| bytes_of(value, args.number_rows)).fold(0, usize::saturating_add);
            check_bytes("||", bytes, self.max_bytes)?;
        }
        let (mut fields, mut columns, mut operands) = (Vec::new(), Vec::new(), Vec::new());
        for (value, field) in args.args.into_iter().zip(&args.arg_fields) {
            operands.push(match value {
                ColumnarValue::Scalar(scalar) => Arc::new(Literal::new(scalar)) as Arc<dyn PhysicalExpr>,
                ColumnarValue::Array(array) => {
                    let index = columns.len();
                    fields.push(Field::new(format!("{index}"), array.data_type().clone(), field.is_nullable()));
                    columns.push(array);
                    Arc::new(Column::new(&format!("{index}"), index))
                }
            });
        }
        let Ok([left, right]) = <[_; 2]>::try_from(operands) else { return exec_err!("{} takes two values", self.name()) };
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        let value = BinaryExpr::new(left, self.op, right).with_fail_on_overflow(true).evaluate(&batch)?;
        check_digits(&value)?;
        Ok(value)
    }
}

fn bytes_of(value: &ColumnarValue, rows: usize) -> usize {
    match value {
        ColumnarValue::Array(array) => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
        ColumnarValue::Scalar(scalar) => scalar.size().saturating_mul(rows.max(1)),
    }
}

/// Arrow checks what its integers hold, which is more than the digits that a decimal has.
fn check_digits(value: &ColumnarValue) -> Result<()> {
    let array: ArrayRef = match value {
        ColumnarValue::Array(array) => array.clone(),
        ColumnarValue::Scalar(scalar) if scalar.data_type().is_decimal() => scalar.to_array()?,
        ColumnarValue::Scalar(_) => return Ok(()),
    };
    match array.data_type() {
        DataType::Decimal32(precision, _) => array.as_primitive::<Decimal32Type>().validate_decimal_precision(*precision)?,
        DataType::Decimal64(precision, _) => array.as_primitive::<Decimal64Type>().validate_decimal_precision(*precision)?,
        DataType::Decimal128(precision, _) => array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)?,
        DataType::Decimal256(precision, _) => array.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)?,
        _ => {}
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Negation {
    signature: Signature,
}

impl ScalarUDFImpl for Negation {
    fn name(&self) -> &str {
        "exact_negation"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [only] => Ok(only.clone()),
            _ => exec_err!("{} takes one value", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [only] => Ok(Arc::new(Field::new(self.name(), only.data_type().clone(), only.is_nullable()))),
            _ => exec_err!("{} takes one value", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else { return exec_err!("{} takes one value", self.name()) };
        Ok(ColumnarValue::Array(neg(array.as_ref())?))
    }
}

#[cfg(test)]
mod tests;
