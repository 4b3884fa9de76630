//! The chain as tables: blocks and logs (finalized and not, as one), and a view per event.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use schemas::arrow::datatypes::DataType;
use schemas::events::{EventColumn, EventTable, WordPlace, WordType};
use schemas::tables::{BlockRow, LogRow, Row};

use super::{Snapshot, functions};
use crate::chain_logs::bytes;
use crate::{Store, StoreError};

/// Registers `blocks`, `logs`, and one view per event.
pub(super) async fn register(store: &Store, context: &SessionContext, snapshot: &Snapshot) -> Result<(), StoreError> {
    let last = snapshot.block.map_or(-1, |block| i64::try_from(block.number).unwrap_or(i64::MAX));
    let hot = store.hot();
    let blocks = with_hot::<BlockRow>(store, context, "number", &hot.blocks, last)?;
    context.register_table(BlockRow::TABLE.name, blocks.into_view())?;
    let logs = with_hot::<LogRow>(store, context, "block_number", &hot.logs().cloned().collect::<Vec<_>>(), last)?;
    context.register_table(LogRow::TABLE.name, as_text(logs.clone())?.into_view())?;
    for table in store.event_tables().iter() {
        context.register_table(table.name.as_str(), event_view(context, logs.clone(), table)?.into_view())?;
    }
    Ok(())
}

/// Finalized rows and those of the hot window that are not finalized yet, up to block `last`,
/// told apart by a column `finalized`.
fn with_hot<R: Row>(store: &Store, context: &SessionContext, number: &str, hot: &[R], last: i64) -> Result<DataFrame, StoreError> {
    let table = store.table::<R>()?;
    let finalized_to = lit(last);
    let cold = context
        .read_table(super::provider(table.dataset()))?
        .filter(col(number).lt_eq(finalized_to.clone()))?
        .with_column("finalized", lit(true))?;
    if hot.is_empty() {
        return Ok(cold);
    }
    let rows = MemTable::try_new(R::schema(), vec![vec![R::to_batch(hot)?]])?;
    let plan = LogicalPlanBuilder::scan(format!("hot_{}", R::TABLE.name), provider_as_source(Arc::new(rows)), None)?.build()?;
    let hot = DataFrame::new(context.state(), plan).filter(col(number).lt_eq(finalized_to))?.with_column("finalized", lit(false))?;
    Ok(cold.union(hot)?)
}

/// Hashes, addresses and data as `0x` text.
fn as_text(logs: DataFrame) -> Result<DataFrame> {
    let columns: Vec<Expr> = (logs.schema().fields().iter())
        .map(|field| match field.data_type() {
            DataType::Binary | DataType::FixedSizeBinary(_) => functions::hex().call(vec![col(field.name())]).alias(field.name()),
            _ => col(field.name()),
        })
        .collect();
    logs.select(columns)
}

fn event_view(context: &SessionContext, logs: DataFrame, table: &EventTable) -> Result<DataFrame> {
    let hex = |name: &str| functions::hex().call(vec![col(name)]).alias(name);
    let mut columns =
        vec![col("block_number"), col("block_timestamp"), hex("block_hash"), hex("transaction_hash"), col("log_index"), col("finalized")];
    for column in &table.columns {
        columns.push(decoded(context, column)?.alias(&column.name));
    }
    let ours = col("address").eq(bytes(table.address.as_slice())).and(col("topic0").eq(bytes(table.topic0.as_slice())));
    logs.filter(ours)?.select(columns)
}

fn decoded(context: &SessionContext, column: &EventColumn) -> Result<Expr> {
    use datafusion::functions::expr_fn::{concat, right};
    let state = context.state();
    let word = match column.place {
        WordPlace::Topic(topic) => functions::hex().call(vec![col(format!("topic{topic}"))]),
        WordPlace::Data(index) => functions::data_word().call(vec![col("data"), lit(index as i64)]),
    };
    let function = |name: &str, word: Expr| -> Result<Expr> {
        let udf = state.scalar_functions().get(name).cloned();
        udf.map(|udf| udf.call(vec![word])).ok_or_else(|| datafusion::error::DataFusionError::Internal(format!("{name} is not registered")))
    };
    Ok(match column.word {
        WordType::Bytes32 => word,
        WordType::Address => concat(vec![lit("0x"), right(word, lit(40i64))]),
        WordType::Bool => right(word, lit(1i64)).eq(lit("1")),
        WordType::Uint64 => function("evm_uint64", word)?,
        WordType::Uint256 => function("evm_uint256", word)?,
    })
}
