//! What goes wrong with a scripted node, and when: a function of the seed, of what is asked and of how
//! often it was asked before. So the order of parallel requests decides nothing, and a seed repeats.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::B256;
use schemas::alloy_primitives::Keccak256;
use serde_json::Value;

/// One way in which a node fails its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeFault {
    Unreachable,
    TimedOut,
    /// An HTTP status other than success.
    Status,
    TooLarge,
    /// A body that is not JSON.
    Garbage,
    /// A body that ends too early.
    Truncated,
    /// A batch whose replies come in another order; allowed.
    Unordered,
    /// A batch of which one call has no reply.
    Unanswered,
    InternalError,
    RateLimited,
    RangeRefused,
    TimeoutError,
    /// Answered by a node some blocks behind.
    Behind,
    /// Answered by a node on a branch that was abandoned.
    OtherBranch,
    FinalizedLower,
    FinalizedAbsent,
    /// Logs of `eth_getLogs` in another order; their positions are right.
    LogsShuffled,
    /// A log of `eth_getLogs` twice.
    LogRepeated,

    // Lies: replies that a client without proofs has to believe.
    /// A canonical block that is not final yet is named as the finalized one.
    FinalizedHigher,
    LogDropped,
    LogsEmptied,
    LogAltered,
    ReceiptDropped,
    ReceiptsSwapped,
    HeaderAltered,
    HeaderAbsent,
    /// The header of the block before.
    HeaderOfAnother,
}

impl NodeFault {
    pub const ALL: [Self; 27] = [
        Self::Unreachable,
        Self::TimedOut,
        Self::Status,
        Self::TooLarge,
        Self::Garbage,
        Self::Truncated,
        Self::Unordered,
        Self::Unanswered,
        Self::InternalError,
        Self::RateLimited,
        Self::RangeRefused,
        Self::TimeoutError,
        Self::Behind,
        Self::OtherBranch,
        Self::FinalizedLower,
        Self::FinalizedAbsent,
        Self::LogsShuffled,
        Self::LogRepeated,
        Self::FinalizedHigher,
        Self::LogDropped,
        Self::LogsEmptied,
        Self::LogAltered,
        Self::ReceiptDropped,
        Self::ReceiptsSwapped,
        Self::HeaderAltered,
        Self::HeaderAbsent,
        Self::HeaderOfAnother,
    ];

    /// Whether only proofs reveal it.
    pub fn is_lie(self) -> bool {
        self >= Self::FinalizedHigher
    }
}

/// How often each fault strikes where it can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    pub seed: u64,
    rates_ppm: BTreeMap<NodeFault, u64>,
}

impl FaultPlan {
    pub fn new(seed: u64) -> Self {
        Self { seed, rates_ppm: BTreeMap::new() }
    }

    #[must_use]
    pub fn with(mut self, fault: NodeFault, rate_ppm: u64) -> Self {
        self.rates_ppm.insert(fault, rate_ppm);
        self
    }
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    /// Faults that strike the next time they can, whatever the plan says.
    due: Vec<NodeFault>,
    /// How often each exchange was asked for.
    asked: BTreeMap<B256, u64>,
    struck: BTreeMap<NodeFault, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    state: Mutex<State>,
}

impl Faults {
    pub(super) fn plan(&self, plan: FaultPlan) {
        self.lock().plan = plan;
    }

    pub(super) fn due(&self, fault: NodeFault) {
        self.lock().due.push(fault);
    }

    pub(super) fn struck(&self) -> BTreeMap<NodeFault, u64> {
        self.lock().struck.clone()
    }

    /// The dice of one exchange.
    pub(super) fn dice(&self, calls: &[Value]) -> Dice<'_> {
        let mut state = self.lock();
        let mut hasher = Keccak256::new();
        hasher.update(state.plan.seed.to_be_bytes());
        for call in calls {
            hasher.update(format!("{}{}", call["method"], call["params"]));
        }
        let exchange = hasher.finalize();
        let times = state.asked.entry(exchange).or_default();
        *times += 1;
        let first = exchange.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Dice { faults: self, key: mixed(first ^ mixed(*times)), rolls: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): a hash would take half of a simulation's time.
fn mixed(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[derive(Debug)]
pub(super) struct Dice<'a> {
    faults: &'a Faults,
    key: u64,
    rolls: u64,
}

impl Dice<'_> {
    /// Whether the fault strikes here. To be asked only where it changes something.
    pub(super) fn strikes(&mut self, fault: NodeFault) -> bool {
        let roll = self.below(1_000_000);
        let mut state = self.faults.lock();
        let due = state.due.iter().position(|due| *due == fault);
        let strikes = due.is_some() || state.plan.rates_ppm.get(&fault).is_some_and(|rate_ppm| roll < *rate_ppm);
        if let Some(index) = due {
            state.due.remove(index);
        }
        if strikes {
            *state.struck.entry(fault).or_default() += 1;
        }
        strikes
    }

    /// A number below `limit`, or 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.rolls += 1;
        mixed(self.key ^ mixed(self.rolls)).checked_rem(limit).unwrap_or(0)
    }

    /// A place in a list of this length, which is not 0.
    pub(super) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }
}
