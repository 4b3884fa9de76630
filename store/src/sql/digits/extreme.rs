//! `max` and `min` of digits: those of their keys.

use std::sync::Arc;

use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ReversedUDAF, Signature, Volatility};
use schemas::arrow::array::ArrayRef;
use schemas::arrow::datatypes::{DataType, FieldRef};

use super::{Kind, text_of};

/// `None` for another function than `max` and `min`.
pub(super) fn of(function: Arc<AggregateUDF>) -> Option<AggregateUDF> {
    // Under a name of its own: DataFusion leaves out rows that cannot change a `max`, and compares them as text for that.
    let name = match function.name() {
        "max" => "evm_max",
        "min" => "evm_min",
        _ => return None,
    };
    Some(AggregateUDF::from(Extreme { of_text: function, name, signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    of_text: Arc<AggregateUDF>,
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OfKeys(self.of_text.accumulator(args)?)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OfKeys(self.of_text.create_sliding_accumulator(args)?)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.of_text.state_fields(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Takes digits, and accumulates their keys.
#[derive(Debug)]
struct OfKeys(Box<dyn Accumulator>);

fn keys(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values.iter().map(|values| Ok(Arc::new(Kind::Key.of_all(values)?) as ArrayRef)).collect()
}

impl Accumulator for OfKeys {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&keys(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&keys(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.0.evaluate()? {
            ScalarValue::Utf8(key) => Ok(ScalarValue::Utf8(key.and_then(|key| text_of(&key)))),
            other => exec_err!("a key is text, not {}", other.data_type()),
        }
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
