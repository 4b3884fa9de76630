//! Fees of receipts that no settled epoch has, by payer. Kept as receipts are issued, so that what a payer owes is looked up,
//! however many receipts there are: some hundred bytes for each that waits for its epoch.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::ids::AnswerId;
use schemas::tables::{ChargeRow, EpochRow, Wei};
use schemas::{Address, U256};
use store::Store;

use super::{joined, map_run};
use crate::Result;

/// A receipt as what its payer owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) sequence: u64,
    pub(crate) answer_id: AnswerId,
    pub(crate) payer: Option<Address>,
    pub(crate) fee_wei: Wei,
}

/// What a payer's receipts come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receivable {
    /// With the answers that are being made.
    pub total_wei: U256,
    /// What the epoch asks for that is closed and not settled.
    pub asked_wei: U256,
}

#[derive(Debug, Default)]
pub(crate) struct Receivables(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// The last receipt of the newest settled epoch.
    settled_to: u64,
    by_payer: HashMap<Address, Fees>,
}

#[derive(Debug, Default)]
struct Fees {
    /// Sequence numbers, ascending, each with the sum of all fees up to it: so those of any part of them are two look-ups.
    sums: Vec<(u64, U256)>,
    /// The sum of the fees before them.
    settled_wei: U256,
    answers: HashMap<AnswerId, u64>,
}

impl Receivables {
    /// Reads what no settled epoch has, once; `logged` are receipts that may not be in the tables.
    pub(crate) async fn open(store: &Store, last_stored: u64, logged: impl Iterator<Item = Charge>) -> Result<Self> {
        let epoch = store.max::<EpochRow>("epoch").await?.unwrap_or(0);
        let settled = store.scan::<EpochRow>(Some(&format!("epoch = {epoch}"))).await?;
        let settled_to = settled.first().map_or(0, |row| row.last_sequence);
        let read = |rows: Vec<ChargeRow>| rows.into_iter().map(Charge::from).collect::<Vec<Charge>>();
        let mut charges: Vec<Charge> = joined(map_run(store, &(settled_to + 1..=last_stored), None, read).await?);
        charges.extend(logged.filter(|charge| charge.sequence > settled_to));
        charges.sort_by_key(|charge| charge.sequence);
        charges.dedup_by_key(|charge| charge.sequence);
        let mut open = Open { settled_to, by_payer: HashMap::new() };
        charges.iter().for_each(|charge| open.add(charge));
        Ok(Self(Mutex::new(open)))
    }

    /// A receipt that was issued: the newest of all.
    pub(crate) fn add(&self, charge: &Charge) {
        self.lock().add(charge);
    }

    /// An epoch was settled that ends with this receipt.
    pub(crate) fn settle(&self, last_sequence: u64) {
        let mut open = self.lock();
        if last_sequence > open.settled_to {
            open.settled_to = last_sequence;
            open.by_payer.retain(|_, fees| fees.settle(last_sequence));
        }
    }

    /// The fees of a payer's receipts after `after`, and of the answers being made that have no receipt; `asked_to` is the last
    /// receipt that is asked for. `None` where an epoch was settled that the caller does not know of: it looks again.
    pub(crate) fn of(
        &self,
        payer: Address,
        after: u64,
        asked_to: Option<u64>,
        making: impl Iterator<Item = (AnswerId, U256)>,
    ) -> Option<Receivable> {
        let open = self.lock();
        if after < open.settled_to {
            return None;
        }
        let Some(fees) = open.by_payer.get(&payer) else {
            return Some(Receivable { total_wei: making.fold(U256::ZERO, |sum, (_, fee)| sum.saturating_add(fee)), asked_wei: U256::ZERO });
        };
        let has_receipt = |answer: &AnswerId| fees.answers.get(answer).is_some_and(|sequence| *sequence > after);
        let being_made = making.filter(|(answer, _)| !has_receipt(answer)).map(|(_, fee)| fee);
        let issued = fees.upto(u64::MAX).saturating_sub(fees.upto(after));
        Some(Receivable {
            total_wei: being_made.fold(issued, U256::saturating_add),
            asked_wei: asked_to.map_or(U256::ZERO, |last| fees.upto(last).saturating_sub(fees.upto(after))),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn add(&mut self, charge: &Charge) {
        let Some(payer) = charge.payer.filter(|_| charge.sequence > self.settled_to) else { return };
        let fees = self.by_payer.entry(payer).or_default();
        let sum = fees.upto(u64::MAX).saturating_add(U256::from(charge.fee_wei.0));
        fees.sums.push((charge.sequence, sum));
        fees.answers.insert(charge.answer_id, charge.sequence);
    }
}

impl Fees {
    /// The sum of all fees up to a receipt.
    fn upto(&self, last: u64) -> U256 {
        let count = self.sums.partition_point(|(sequence, _)| *sequence <= last);
        count.checked_sub(1).and_then(|index| self.sums.get(index)).map_or(self.settled_wei, |(_, sum)| *sum)
    }

    /// Lets go of what is settled; whether anything is left.
    fn settle(&mut self, last: u64) -> bool {
        self.settled_wei = self.upto(last);
        self.sums.retain(|(sequence, _)| *sequence > last);
        self.sums.shrink_to_fit();
        self.answers.retain(|_, sequence| *sequence > last);
        self.answers.shrink_to_fit();
        !self.sums.is_empty()
    }
}

impl From<ChargeRow> for Charge {
    fn from(row: ChargeRow) -> Self {
        Self { sequence: row.sequence, answer_id: row.answer_id, payer: row.payer, fee_wei: row.fee_wei }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::B256;

    use super::*;

    fn id(n: u64) -> AnswerId {
        B256::from(U256::from(n)).into()
    }

    fn charge(sequence: u64, payer: u8, fee: u64) -> Charge {
        Charge { sequence, answer_id: id(sequence), payer: Some(Address::repeat_byte(payer)), fee_wei: Wei(fee.into()) }
    }

    #[test]
    fn an_answer_counts_once_while_it_becomes_a_receipt() {
        let (receivables, payer) = (Receivables::default(), Address::repeat_byte(1));
        let of = |making: &[u64]| receivables.of(payer, 0, None, making.iter().map(|n| (id(*n), U256::from(10)))).unwrap().total_wei;
        assert_eq!((of(&[]), of(&[1])), (U256::ZERO, U256::from(10)));
        receivables.add(&charge(1, 1, 10));
        assert_eq!((of(&[]), of(&[1]), of(&[1, 2])), (U256::from(10), U256::from(10), U256::from(20)));
        receivables.add(&charge(2, 1, 0));
        assert_eq!(of(&[1, 2]), U256::from(10), "a declined answer costs nothing");
    }

    #[test]
    fn who_does_not_know_of_a_settled_epoch_looks_again() {
        let receivables = Receivables::default();
        receivables.add(&charge(1, 1, 10));
        receivables.settle(1);
        assert_eq!(receivables.of(Address::repeat_byte(1), 0, None, std::iter::empty()), None);
        assert_eq!(receivables.of(Address::repeat_byte(1), 1, None, std::iter::empty()), Some(Receivable::default()));
    }

    proptest! {
        /// As adding up all receipts says, whatever is settled and closed in between.
        #[test]
        fn sums_are_those_of_the_receipts(
            issued in prop::collection::vec((0u8..3, 0u64..100), 0..60),
            cuts in prop::collection::vec(0u64..70, 0..5),
            asked_to in 0u64..70,
        ) {
            let receivables = Receivables::default();
            let charges: Vec<Charge> = (1..).zip(&issued).map(|(sequence, (payer, fee))| charge(sequence, *payer, *fee)).collect();
            let mut settled_to = 0;
            let (early, late) = charges.split_at(charges.len() / 2);
            early.iter().for_each(|charge| receivables.add(charge));
            for cut in cuts.iter().map(|cut| (*cut).min(early.len() as u64)) {
                receivables.settle(cut);
                settled_to = settled_to.max(cut);
            }
            late.iter().for_each(|charge| receivables.add(charge));
            for payer in 0..3 {
                let payer = Address::repeat_byte(payer);
                let sum = |to: u64| (charges.iter())
                    .filter(|charge| charge.payer == Some(payer) && charge.sequence > settled_to && charge.sequence <= to)
                    .map(|charge| U256::from(charge.fee_wei.0))
                    .fold(U256::ZERO, U256::saturating_add);
                let expected = Receivable { total_wei: sum(u64::MAX), asked_wei: sum(asked_to) };
                prop_assert_eq!(receivables.of(payer, settled_to, Some(asked_to), std::iter::empty()), Some(expected));
            }
        }
    }
}
