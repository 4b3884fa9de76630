//! When an epoch closes by itself: no receipt waits longer than `settlement.interval_seconds`, and a debt that can be paid no
//! longer than that after the last closing.

use std::time::{Duration, Instant};

use rag::RagError;
use schemas::tables::{ClosingRow, EpochRow, Millis, ReceiptRow};

use super::{Settling, close_now, debit};
use crate::service::Service;

/// Pause between two looks at the receipts.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// When the receipts were looked at last.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    looked: Option<Instant>,
}

impl Clock {
    /// Until the receipts are to be looked at again; `None` where epochs are closed by hand.
    pub(crate) fn pause(&self, service: &Service) -> Option<Duration> {
        let interval_seconds = service.config.settlement.interval_seconds;
        let elapsed = self.looked.map_or(Duration::MAX, |looked| looked.elapsed());
        (interval_seconds > 0).then(|| look_every(interval_seconds).saturating_sub(elapsed))
    }

    fn is_due(&mut self, interval_seconds: u64) -> bool {
        let pause = look_every(interval_seconds);
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= pause);
        if is_due {
            self.looked = Some(Instant::now());
        }
        is_due
    }
}

fn look_every(interval_seconds: u64) -> Duration {
    LOOK_EVERY.min(Duration::from_secs(interval_seconds) / 4)
}

pub(super) async fn close_when_due(service: &Service, clock: &mut Clock, settling: &mut Settling) -> anyhow::Result<()> {
    let interval_seconds = service.config.settlement.interval_seconds;
    if interval_seconds == 0 || service.indexer.borrow().indexed_finalized.is_none() || !clock.is_due(interval_seconds) {
        return Ok(());
    }
    if service.rag.closing().await?.is_some() || !is_due(service, interval_seconds).await? {
        return Ok(());
    }
    match close_now(service, settling).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.downcast_ref(), Some(RagError::NothingToSettle { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn is_due(service: &Service, interval_seconds: u64) -> anyhow::Result<bool> {
    let epoch = service.store.max::<EpochRow>("epoch").await?.unwrap_or(0);
    let last: Vec<EpochRow> = service.store.scan(Some(&format!("epoch = {epoch}"))).await?;
    let next = last.first().map_or(0, |row| row.last_sequence) + 1;
    let waiting: Vec<ReceiptRow> = service.store.scan(Some(&format!("sequence = {next}"))).await?;
    let over = |since: Millis| since.unix_seconds().saturating_add(interval_seconds) <= Millis::now().unix_seconds();
    if waiting.first().is_some_and(|receipt| over(receipt.issued_at)) {
        return Ok(true);
    }
    let closings: Vec<ClosingRow> = service.store.scan(Some(&format!("epoch = {epoch}"))).await?;
    Ok(closings.first().is_some_and(|closing| over(closing.closed_at)) && !debit::payable(service).await?.is_empty())
}
