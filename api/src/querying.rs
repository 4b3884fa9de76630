//! Asking the tables, whatever the transport: who may have how many queries at once, what each caller sees, and that what was
//! answered before is seen.

use std::sync::Arc;
use std::time::Duration;

use rag::RagError;
use store::StoreError;
use store::sql::{QueryResult, Snapshot, Viewer};

use crate::auth::Caller;
use crate::places::{Full, Place, Places};
use crate::service::Service;

/// How long a query waits for receipts that are on their way into the tables.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// A query's result. Its place is taken until it is dropped: it is in memory as long.
#[derive(Debug)]
pub struct Queried {
    pub result: QueryResult,
    pub place: Place,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("too many queries are running: try again shortly")]
    Full,
    #[error("{max_each} of your queries are running, as many as one caller may have: try again when one has ended")]
    FullForOne { max_each: usize },
    #[error(transparent)]
    Drain(#[from] RagError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Service {
    /// Runs one query as `caller` may see the tables, now or at a snapshot that an earlier result named.
    ///
    /// # Errors
    /// [`QueryError::Full`] and [`QueryError::FullForOne`] where there is no place; those of [`store::workers::QueryWorkers::query`].
    pub async fn query(&self, caller: &Caller, sql: &str, at: Option<&Snapshot>) -> Result<Queried, QueryError> {
        let place = place(&self.queries, caller)?;
        if at.is_none() {
            // An answer's receipt is durable before it is in the tables; a query should see it. Where the storage is too slow for
            // that, the query is answered from what the tables hold, as its snapshot says.
            if let Ok(drained) = tokio::time::timeout(DRAIN_PATIENCE, self.rag.drained()).await {
                drained?;
            }
        }
        let (viewer, limits) = if caller.may(&[]) {
            (Viewer::Everything, &self.operator_query_limits)
        } else {
            (Viewer::Published { payer: caller.payer }, &self.query_limits)
        };
        let result = self.workers.query(&self.store, viewer, sql, limits, at).await?;
        Ok(Queried { result, place })
    }
}

fn place(queries: &Arc<Places>, caller: &Caller) -> Result<Place, QueryError> {
    queries.take_for(caller).map_err(|full| match full {
        Full::ForAll => QueryError::Full,
        Full::ForOne => QueryError::FullForOne { max_each: queries.max_each() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    #[test]
    fn one_caller_shuts_nobody_out_of_sql() {
        let caller = |key_id: &str, role, payer: Option<u8>| Caller {
            key_id: key_id.into(),
            roles: vec![role],
            payer: payer.map(|byte| [byte; 20].into()),
        };
        let (analyst, operator) = (caller("1", Role::Analyst, None), caller("0", Role::Operator, None));
        let queries = Places::new(4);
        let mut held: Vec<Place> = (0..2).map(|_| place(&queries, &analyst).unwrap()).collect();
        assert!(matches!(place(&queries, &analyst), Err(QueryError::FullForOne { max_each: 2 })));
        held.push(place(&queries, &caller("2", Role::App, Some(7))).unwrap());
        assert!(place(&queries, &caller("3", Role::App, Some(8))).is_err(), "the last place is the operator's");
        held.push(place(&queries, &operator).unwrap());
        assert!(matches!(place(&queries, &operator), Err(QueryError::Full)));
        drop(held);
        let _of_payer = [place(&queries, &caller("2", Role::App, Some(7))), place(&queries, &caller("3", Role::App, Some(7)))];
        assert!(place(&queries, &caller("4", Role::App, Some(7))).is_err(), "another key of the same payer");
    }
}
