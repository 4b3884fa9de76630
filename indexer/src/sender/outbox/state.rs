//! The state that the records add up to. No I/O.

use std::collections::BTreeMap;

use schemas::B256;
use schemas::tables::{Millis, Wei};

use super::record::{Content, Inclusion, Parked, Record, Role, Spent, Version};

/// Over which time the spending limits count.
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Wanted in a block.
    Open,
    /// Not offered any more; its caller was told. Its nonce is the next one's as long as nobody uses it.
    Parked(Parked),
    /// In a block that may still be reorganised away.
    Included(Inclusion),
}

/// One nonce and the transactions that were signed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) nonce: u64,
    /// At least one.
    pub(crate) versions: Vec<Version>,
    /// Index of the version that is offered to the node.
    offered: usize,
    pub(crate) status: Status,
}

impl Slot {
    pub(crate) fn offered(&self) -> &Version {
        self.versions.get(self.offered).unwrap_or(&self.versions[0])
    }

    pub(crate) fn version(&self, hash: B256) -> Option<&Version> {
        self.versions.iter().find(|version| version.hash == hash)
    }

    /// Whether one of the versions is the action with this content.
    pub(crate) fn holds(&self, content: &Content) -> bool {
        self.versions.iter().any(|version| version.role == Role::Action && version.content == *content)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.status == Status::Open
    }

    /// What it has cost, or may cost at most, in wei.
    pub(crate) fn fee_wei(&self) -> u128 {
        match self.status {
            Status::Included(inclusion) => inclusion.fee.0,
            Status::Open | Status::Parked(_) => self.versions.iter().map(Version::worst_fee_wei).max().unwrap_or(0),
        }
    }

    fn signed_at(&self) -> Millis {
        self.versions[0].signed_at
    }
}

/// What was done and may still be done within the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DaySpending {
    pub(crate) transactions: u64,
    pub(crate) fees_wei: u128,
}

/// Every nonce that is not finished, and the spending of the last day.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) slots: BTreeMap<u64, Slot>,
    pub(crate) spent: Vec<Spent>,
}

impl State {
    /// # Errors
    /// What does not fit: the file is not one that we wrote.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Opened(_) => Err("it begins twice".into()),
            Record::Signed(version) => {
                self.sign(version);
                Ok(())
            }
            Record::Parked { nonce, why } => self.set(*nonce, Status::Parked(*why)),
            Record::Reopened { nonce, hash } => self.choose(*nonce, *hash, Status::Open),
            Record::Included { nonce, inclusion } => self.choose(*nonce, inclusion.hash, Status::Included(*inclusion)),
            Record::Final { nonce } => self.finish(*nonce),
            Record::Foreign { nonce } => self.slots.remove(nonce).map(drop).ok_or_else(|| unknown(*nonce)),
            Record::Spent(spent) => {
                self.spent.push(*spent);
                Ok(())
            }
        }
    }

    fn sign(&mut self, version: &Version) {
        let new = || Slot { nonce: version.nonce, versions: Vec::new(), offered: 0, status: Status::Open };
        let slot = self.slots.entry(version.nonce).or_insert_with(new);
        slot.offered = slot.versions.len();
        slot.versions.push(version.clone());
        slot.status = Status::Open;
    }

    fn finish(&mut self, nonce: u64) -> Result<(), String> {
        let slot = self.slots.remove(&nonce).ok_or_else(|| unknown(nonce))?;
        self.spent.push(Spent { signed_at: slot.signed_at(), fee: Wei(slot.fee_wei()) });
        Ok(())
    }

    fn slot(&mut self, nonce: u64) -> Result<&mut Slot, String> {
        self.slots.get_mut(&nonce).ok_or_else(|| unknown(nonce))
    }

    fn set(&mut self, nonce: u64, status: Status) -> Result<(), String> {
        self.slot(nonce)?.status = status;
        Ok(())
    }

    fn choose(&mut self, nonce: u64, hash: B256, status: Status) -> Result<(), String> {
        let slot = self.slot(nonce)?;
        let index = slot.versions.iter().position(|version| version.hash == hash);
        slot.offered = index.ok_or_else(|| format!("nonce {nonce} has no transaction {hash:#x}"))?;
        slot.status = status;
        Ok(())
    }

    pub(crate) fn lowest_open(&self) -> Option<&Slot> {
        self.slots.values().find(|slot| slot.is_open())
    }

    pub(crate) fn open_with(&self, content: &Content) -> Option<&Slot> {
        self.slots.values().find(|slot| slot.is_open() && slot.holds(content))
    }

    /// The next transaction's nonce, where `count` is the node's. Parked ones do not hold theirs.
    pub(crate) fn next_nonce(&self, count: u64) -> u64 {
        let held = self.slots.values().filter(|slot| !matches!(slot.status, Status::Parked(_)));
        held.map(|slot| slot.nonce + 1).max().unwrap_or(0).max(count)
    }

    /// Transactions signed within the day before `now`, each nonce once, without that of `but_nonce`.
    /// Those signed "later" than `now`, as when a clock was set back, count.
    pub(crate) fn spending(&self, now: Millis, but_nonce: u64) -> DaySpending {
        let finished = self.spent.iter().map(|spent| (spent.signed_at, spent.fee.0));
        let unfinished = self.slots.values().filter(|slot| slot.nonce != but_nonce);
        let unfinished = unfinished.map(|slot| (slot.signed_at(), slot.fee_wei()));
        let recent = finished.chain(unfinished).filter(|(signed_at, _)| is_recent(*signed_at, now));
        recent.fold(DaySpending::default(), |sum, (_, fee_wei)| DaySpending {
            transactions: sum.transactions + 1,
            fees_wei: sum.fees_wei.saturating_add(fee_wei),
        })
    }

    /// The shortest records that add up to this state, without what no limit counts any more.
    pub(crate) fn records(&self, now: Millis) -> Vec<Record> {
        let mut records: Vec<Record> =
            self.spent.iter().filter(|spent| is_recent(spent.signed_at, now)).map(|spent| Record::Spent(*spent)).collect();
        for slot in self.slots.values() {
            let nonce = slot.nonce;
            records.extend(slot.versions.iter().map(|version| Record::Signed(Box::new(version.clone()))));
            if slot.offered + 1 != slot.versions.len() {
                records.push(Record::Reopened { nonce, hash: slot.offered().hash });
            }
            match slot.status {
                Status::Open => {}
                Status::Parked(why) => records.push(Record::Parked { nonce, why }),
                Status::Included(inclusion) => records.push(Record::Included { nonce, inclusion }),
            }
        }
        records
    }
}

fn is_recent(signed_at: Millis, now: Millis) -> bool {
    signed_at.0 > now.0.saturating_sub(DAY_MS)
}

fn unknown(nonce: u64) -> String {
    format!("it tells of nonce {nonce} before any transaction with it")
}
