//! Functions whose results are bounded: what a call would make is estimated from its arguments, and refused
//! before it is made.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, resources_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use schemas::arrow::array::{Array, ArrayRef, AsArray};
use schemas::arrow::compute::cast;
use schemas::arrow::datatypes::{DataType, FieldRef, Int64Type};

/// How much larger than its arguments a result can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// So many times all arguments together.
    Linear(usize),
    /// The first argument stands between all others.
    PerArgument,
    /// Any other argument stands at each element of the first.
    PerElement,
    /// Any other argument stands at each character of the first.
    PerCharacter,
    /// The second argument says how often.
    Times,
    /// The third argument stands wherever the first holds the second.
    Replace,
}

/// `function` with a bound on what one call makes.
pub(super) fn bounded(function: Arc<ScalarUDF>, growth: Growth, max_bytes: usize) -> ScalarUDF {
    ScalarUDF::from(Bounded { function, growth, max_bytes })
}

pub(super) fn is_bounded(function: &ScalarUDF) -> bool {
    let any: &dyn Any = function.inner().as_ref();
    any.is::<Bounded>()
}

/// # Errors
/// `ResourcesExhausted` when `bytes` are more than a call may make.
pub(super) fn check_bytes(name: &str, bytes: usize, max_bytes: usize) -> Result<()> {
    if bytes > max_bytes {
        return resources_err!("{name} would make up to {bytes} bytes at once; at most {max_bytes} are allowed");
    }
    Ok(())
}

#[derive(Debug)]
struct Bounded {
    function: Arc<ScalarUDF>,
    growth: Growth,
    max_bytes: usize,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function && self.max_bytes == other.max_bytes
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

/// Everything but the call itself is the function's own.
impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.inner().schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.inner().coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.inner().return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let function = Arc::new(self.function.inner().with_updated_config(config)?);
        Some(bounded(function, self.growth, self.max_bytes))
    }

    /// What it is rewritten to may call it again, and then within the same bound.
    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let again = |expr: Expr| match expr {
            Expr::ScalarFunction(call) if call.func == self.function => {
                let func = Arc::new(bounded(call.func, self.growth, self.max_bytes));
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args })))
            }
            other => Ok(Transformed::no(other)),
        };
        Ok(match self.function.simplify(args, context)? {
            ExprSimplifyResult::Simplified(expr) => ExprSimplifyResult::Simplified(expr.transform_up(again)?.data),
            original @ ExprSimplifyResult::Original(_) => original,
        })
    }

    fn short_circuits(&self) -> bool {
        self.function.inner().short_circuits()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.function.inner().conditional_arguments(args)
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.function.inner().evaluate_bounds(input)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.function.inner().output_ordering(inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        check_bytes(self.name(), estimate(self.growth, &args.args, args.number_rows)?, self.max_bytes)?;
        self.function.invoke_with_args(args)
    }
}

/// Bytes of a result, at most (of values; their places are few bytes each).
fn estimate(growth: Growth, args: &[ColumnarValue], rows: usize) -> Result<usize> {
    let total = args.iter().map(|arg| Size::of(arg, rows).total).fold(0, usize::saturating_add);
    let size = |index: usize| args.get(index).map_or(Size::default(), |arg| Size::of(arg, rows));
    // The longest of the others.
    let longest = args.iter().skip(1).map(|arg| Size::of(arg, rows).longest).max().unwrap_or(0);
    Ok(match growth {
        Growth::Linear(times) => total.saturating_mul(times),
        Growth::PerArgument => total.saturating_add(size(0).longest.saturating_mul(args.len()).saturating_mul(rows)),
        Growth::PerElement => total.saturating_add(size(0).elements.saturating_mul(longest.saturating_add(32))),
        Growth::PerCharacter => {
            let places = size(0).total.saturating_add(rows);
            total.saturating_add(places.saturating_mul(longest.saturating_add(1)).saturating_mul(2))
        }
        Growth::Times => {
            let times = args.get(1).map_or(Ok(0), largest)?;
            let text = size(0).longest.max(size(2).longest).max(4);
            times.saturating_mul(text).saturating_mul(rows.max(1))
        }
        Growth::Replace => replaced(args, rows)?,
    })
}

/// What values come to.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// Bytes of all rows.
    total: usize,
    /// Bytes of one row, at most.
    longest: usize,
    /// Elements of lists, over all rows.
    elements: usize,
}

impl Size {
    fn of(value: &ColumnarValue, rows: usize) -> Self {
        match value {
            ColumnarValue::Array(array) => Self::of_array(array),
            ColumnarValue::Scalar(scalar) => {
                let one = scalar.to_array().map_or(Self::default(), |array| Self::of_array(&array));
                let rows = rows.max(1);
                Self { total: one.total.saturating_mul(rows), longest: one.total, elements: one.elements.saturating_mul(rows) }
            }
        }
    }

    fn of_array(array: &ArrayRef) -> Self {
        let total = array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size());
        let elements = if let Some(lists) = array.as_list_opt::<i32>() {
            lists.values().len()
        } else if let Some(lists) = array.as_list_opt::<i64>() {
            lists.values().len()
        } else {
            array.as_fixed_size_list_opt().map_or(array.len(), |lists| lists.values().len())
        };
        // Elements of no size of their own (NULL alone, bits) are some bytes each wherever they end up.
        let total = total.max(elements);
        let longest = match array.data_type() {
            DataType::Utf8 => longest(array.as_string::<i32>().iter()),
            DataType::LargeUtf8 => longest(array.as_string::<i64>().iter()),
            DataType::Utf8View => longest(array.as_string_view().iter()),
            _ => array.data_type().primitive_width().unwrap_or(total),
        };
        // Views can name the same bytes many times.
        let total = if matches!(array.data_type(), DataType::Utf8View) { total.max(lengths(array)) } else { total };
        Self { total, longest, elements }
    }
}

fn longest<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> usize {
    texts.flatten().map(str::len).max().unwrap_or(0)
}

fn lengths(views: &ArrayRef) -> usize {
    views.as_string_view().iter().flatten().map(str::len).fold(0, usize::saturating_add)
}

/// The largest number; what is no number is none.
fn largest(value: &ColumnarValue) -> Result<usize> {
    let array = value.clone().into_array(1)?;
    let numbers = cast(&array, &DataType::Int64)?;
    let largest = numbers.as_primitive::<Int64Type>().iter().flatten().max().unwrap_or(0);
    Ok(usize::try_from(largest).unwrap_or(0))
}

/// Exactly what `replace(text, from, to)` makes: an estimate would refuse honest uses.
fn replaced(args: &[ColumnarValue], rows: usize) -> Result<usize> {
    let texts =
        args.iter().map(|arg| Ok(cast(&arg.clone().into_array(rows)?, &DataType::LargeUtf8)?)).collect::<Result<Vec<ArrayRef>>>()?;
    let [text, from, to] = &texts[..] else { return Ok(0) };
    let (text, from, to) = (text.as_string::<i64>(), from.as_string::<i64>(), to.as_string::<i64>());
    let mut bytes = 0_usize;
    for ((text, from), to) in text.iter().zip(from).zip(to) {
        if let (Some(text), Some(from), Some(to)) = (text, from, to) {
            let found = text.matches(from).count();
            bytes = bytes.saturating_add(text.len()).saturating_add(found.saturating_mul(to.len()));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;

    #[test]
    fn results_are_estimated_from_arguments() {
        let text = |text: &str| ColumnarValue::Scalar(ScalarValue::Utf8(Some(text.into())));
        let number = |number: i64| ColumnarValue::Scalar(ScalarValue::Int64(Some(number)));
        let bytes = |growth, args: &[ColumnarValue], rows| estimate(growth, args, rows).unwrap();
        assert!((6..=40).contains(&bytes(Growth::Linear(1), &[text("abc"), text("def")], 1)));
        assert!(bytes(Growth::Times, &[text("ab"), number(i64::MAX)], 1) > 1 << 60);
        assert!(bytes(Growth::Times, &[text("ab"), number(1000)], 10) >= 20_000);
        assert_eq!(bytes(Growth::Replace, &[text("aaaa"), text("a"), text("bbb")], 1), 16);
        assert_eq!(bytes(Growth::Replace, &[text("aaaa"), text("x"), text(&"b".repeat(1000))], 2), 8);
        assert!(bytes(Growth::PerCharacter, &[text(&"a".repeat(1000)), text("."), text(&"b".repeat(1000))], 1) > 1_000_000);
    }
}
