//! The chain as tables: blocks and logs (finalized and not, as one), and a view per event.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::SchemaProvider;
use datafusion::common::Result;
use datafusion::datasource::{MemTable, TableProvider, TableType, provider_as_source};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, col, lit, when};
use datafusion::prelude::{DataFrame, SessionContext};
use lance::Dataset;
use schemas::arrow::datatypes::DataType;
use schemas::events::{ColumnKind, Emitter, EventTable};
use schemas::tables::{BlockRow, LogRow, Row};
use schemas::{Address, B256};

use super::{Snapshot, decode, functions};
use crate::chain_logs::bytes;
use crate::{Store, StoreError, extent};

/// Registers `blocks`, `logs`, and one view per event.
pub(super) async fn register(store: &Store, context: &SessionContext, snapshot: &Snapshot) -> Result<(), StoreError> {
    let height = |number: Option<u64>| number.map_or(-1, |number| i64::try_from(number).unwrap_or(i64::MAX));
    // The window is taken first: what leaves it meanwhile is in the tables, and counts once, because the
    // window says where the tables ended. Logs are written before their blocks.
    let hot = store.hot();
    let block_rows = store.table::<BlockRow>()?.dataset();
    let stored_to = match hot.stored_to {
        Some(stored_to) => Some(stored_to),
        None => extent::extent_of(&block_rows, "number").await?.map(|numbers| *numbers.end()),
    };
    let last = height(snapshot.block.map(|block| block.number));
    let cut = Cut { last, stored_to: height(stored_to), finalized_to: height(stored_to.max(hot.finalized_to)) };
    let blocks = with_hot::<BlockRow>(context, block_rows, "number", &hot.blocks, cut).await?;
    context.register_table(BlockRow::TABLE.name, blocks.into_view())?;
    let log_rows = store.table::<LogRow>()?.dataset();
    let logs = with_hot::<LogRow>(context, log_rows, "block_number", &hot.logs().cloned().collect::<Vec<_>>(), cut).await?;
    context.register_table(LogRow::TABLE.name, as_text(logs.clone())?.into_view())?;
    show_events(context, logs, &store.event_tables())?;
    Ok(())
}

/// Puts a view per event beside the tables. There may be thousands, so each is made when a query names it.
fn show_events(context: &SessionContext, logs: DataFrame, tables: &[EventTable]) -> Result<()> {
    let options = context.copied_config().options().catalog.clone();
    let Some(catalog) = context.catalog(&options.default_catalog) else { return Ok(()) };
    let Some(others) = catalog.schema(&options.default_schema) else { return Ok(()) };
    let events = tables.iter().filter(|table| !others.table_exist(&table.name)).map(|table| (table.name.clone(), table.clone())).collect();
    let views = EventViews { others, logs, events };
    catalog.register_schema(&options.default_schema, Arc::new(views))?;
    Ok(())
}

/// A schema's tables, and the views of events.
struct EventViews {
    others: Arc<dyn SchemaProvider>,
    logs: DataFrame,
    events: HashMap<String, EventTable>,
}

impl std::fmt::Debug for EventViews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventViews").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for EventViews {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.others.table_names();
        names.extend(self.events.keys().cloned());
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.events.get(name) {
            Some(table) => Ok(Some(event_view(self.logs.clone(), table)?.into_view())),
            None => self.others.table(name).await,
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        if self.events.contains_key(name) { Ok(Some(TableType::View)) } else { self.others.table_type(name).await }
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        self.others.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.others.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.events.contains_key(name) || self.others.table_exist(name)
    }
}

/// Which blocks are seen.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The highest of all.
    last: i64,
    /// The highest that is read from the tables; above it the window counts.
    stored_to: i64,
    /// The highest that is final.
    finalized_to: i64,
}

/// Rows of the tables and those of the window above them. What is final is told by a column `finalized`.
async fn with_hot<R: Row>(
    context: &SessionContext,
    rows: Arc<Dataset>,
    number: &str,
    hot: &[R],
    cut: Cut,
) -> Result<DataFrame, StoreError> {
    let seen_to = cut.last.min(cut.stored_to);
    let written_to = extent::extent_of(&rows, number).await?.map(|numbers| *numbers.end());
    let mut cold = context.read_table(super::provider(rows))?;
    // An index that is asked for what holds for every row gives them one by one, which takes ten times as long as reading them.
    if written_to.is_some_and(|to| i64::try_from(to).is_ok_and(|to| to > seen_to)) {
        cold = cold.filter(col(number).lt_eq(lit(seen_to)))?;
    }
    let cold = cold.with_column("finalized", lit(true))?;
    if hot.is_empty() {
        return Ok(cold);
    }
    let rows = MemTable::try_new(R::schema(), vec![vec![R::to_batch(hot)?]])?;
    let plan = LogicalPlanBuilder::scan(format!("hot_{}", R::TABLE.name), provider_as_source(Arc::new(rows)), None)?.build()?;
    let above = col(number).gt(lit(cut.stored_to)).and(col(number).lt_eq(lit(cut.last)));
    let finalized = col(number).lt_eq(lit(cut.finalized_to));
    let hot = DataFrame::new(context.state(), plan).filter(above)?.with_column("finalized", finalized)?;
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

/// The logs of an event with its parameters. Those whose number of topics is another than the ABI says are rows without
/// values: what stands in a topic then is another parameter, or none.
fn event_view(logs: DataFrame, table: &EventTable) -> Result<DataFrame> {
    let hex = |name: &str| functions::hex().call(vec![col(name)]).alias(name);
    let mut columns =
        vec![col("block_number"), col("block_timestamp"), hex("block_hash"), hex("transaction_hash"), col("log_index"), col("finalized")];
    let emitted = match table.emitter {
        Emitter::Contract(address) => logs.filter(is_event(address, table.topic0))?,
        Emitter::Children(creation) => {
            columns.push(col("contract"));
            let child = decode::parameter(creation.child, ColumnKind::Text, &table.body).alias("child");
            let children = logs.clone().filter(is_event(creation.factory, creation.topic0))?.select(vec![child])?;
            let of_event = logs.filter(col("topic0").eq(bytes(table.topic0.as_slice())))?;
            let of_event = of_event.with_column("contract", functions::hex().call(vec![col("address")]))?;
            of_event.join(children, JoinType::LeftSemi, &["contract"], &["child"], None)?
        }
    };
    let emitted = match &table.takes {
        Some(counts) => emitted.filter(counts.iter().map(|count| has_topics(*count)).reduce(Expr::or).unwrap_or_else(|| lit(false)))?,
        None => emitted,
    };
    columns.push(decode::decodes(table).alias("decoded"));
    for column in &table.columns {
        let value = decode::parameter(column.place, column.kind, &table.body);
        let value = match table.takes.as_deref() {
            Some([only]) if *only == table.indexed => value,
            _ => when(has_topics(table.indexed), value).end()?,
        };
        columns.push(value.alias(&column.name));
    }
    emitted.select(columns)
}

/// Whether a log has as many topics besides the first.
fn has_topics(count: u8) -> Expr {
    let last = (count > 0).then(|| col(format!("topic{count}")).is_not_null());
    let next = (count < 3).then(|| col(format!("topic{}", count + 1)).is_null());
    last.into_iter().chain(next).reduce(Expr::and).unwrap_or_else(|| lit(true))
}

fn is_event(address: Address, topic0: B256) -> Expr {
    col("address").eq(bytes(address.as_slice())).and(col("topic0").eq(bytes(topic0.as_slice())))
}

#[cfg(test)]
pub(super) mod tests;
