//! What is to be done about one nonce, given what the node says. A pure decision.

use super::outbox::{Inclusion, Parked, Slot, Status};

/// What the node says about a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// Of any of the versions.
    pub(super) inclusion: Option<Inclusion>,
    /// Transactions of the account in the newest block's state.
    pub(super) count: u64,
    /// The number of a block that was final before the receipts were read: so no receipt of a block
    /// that was reorganised away meanwhile is taken for final.
    pub(super) finalized: Option<u64>,
    /// Transactions of the account in the finalized state.
    pub(super) finalized_count: Option<u64>,
}

/// What time says about a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Timing {
    /// Its nonce has been used without a receipt for long enough to believe that it is not ours.
    pub(super) missing_for_long: bool,
    pub(super) offer_due: bool,
    /// No version got into a block for as long as the configuration allows.
    pub(super) stuck: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    Include(Inclusion),
    Finish,
    /// Its block was reorganised away.
    Reopen,
    Park(Parked),
    /// The nonce is another sender's, finally.
    Forget,
    /// Send the same bytes again.
    Offer,
    /// Sign a version with higher fees.
    Replace,
}

pub(super) fn step(slot: &Slot, seen: &Seen, timing: &Timing) -> Step {
    if let Some(found) = seen.inclusion {
        return match slot.status {
            Status::Included(known) if known == found => match seen.finalized {
                Some(finalized) if finalized >= found.block_number => Step::Finish,
                _ => Step::Wait,
            },
            _ => Step::Include(found),
        };
    }
    let used = seen.count > slot.nonce;
    match slot.status {
        Status::Parked(_) if used && seen.finalized_count.is_some_and(|count| count > slot.nonce) => Step::Forget,
        Status::Parked(_) => Step::Wait,
        // By another, or the node has not found its receipts yet.
        Status::Open | Status::Included(_) if used && timing.missing_for_long => Step::Park(Parked::NonceTaken),
        Status::Open | Status::Included(_) if used => Step::Wait,
        Status::Included(known) if known.succeeded => Step::Reopen,
        Status::Included(_) => Step::Park(Parked::Undone),
        // Others wait for those before them.
        Status::Open if timing.stuck && seen.count == slot.nonce => Step::Replace,
        Status::Open if timing.offer_due => Step::Offer,
        Status::Open => Step::Wait,
    }
}
