//! Whether and when a request is tried again, by the class of what went wrong.

use rand::Rng;

use super::classify::is_ranged;
use super::config::RpcConfig;
use super::fault::Fault;
use super::stats::Outcome;

/// A rate limit is waited out longer than a broken connection.
const RATE_LIMIT_FACTOR: u64 = 4;
/// What is either a rate limit or a range that is too large counts as the latter when waiting did not help.
const MAX_AMBIGUOUS_ATTEMPTS: u32 = 2;

/// The failures of one request so far.
#[derive(Debug, Default)]
pub(super) struct Tries {
    all: u32,
    unreachable: u32,
    rate_limited: u32,
    ambiguous: u32,
    timed_out: u32,
    malformed: u32,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GiveUp,
    /// After a random part of this.
    Again {
        pause_ms: u64,
    },
    /// Where another endpoint is, there, and without a pause.
    Elsewhere {
        pause_ms: u64,
    },
}

impl Tries {
    pub(super) fn after(&mut self, fault: &Fault, endpoints: usize, config: &RpcConfig) -> Next {
        self.all += 1;
        let (count, max_attempts) = match fault.outcome {
            Outcome::Unreachable => (&mut self.unreachable, config.max_unreachable_attempts),
            Outcome::RateLimited if fault.is_ambiguous => (&mut self.ambiguous, MAX_AMBIGUOUS_ATTEMPTS),
            Outcome::RateLimited => (&mut self.rate_limited, config.max_attempts),
            Outcome::TimedOut => (&mut self.timed_out, config.max_timeout_attempts),
            Outcome::Malformed => (&mut self.malformed, config.max_malformed_attempts),
            // Another key may be right. The same one is as wrong the next time.
            Outcome::Denied if endpoints > 1 => (&mut self.unreachable, config.max_unreachable_attempts),
            Outcome::Denied | Outcome::Refused | Outcome::RangeTooLarge | Outcome::Answered => return Next::GiveUp,
        };
        *count += 1;
        if *count >= max_attempts || self.all >= config.max_attempts {
            return Next::GiveUp;
        }
        let factor = if fault.outcome == Outcome::RateLimited { RATE_LIMIT_FACTOR } else { 1 };
        let pause_ms = pause_ms(*count, factor, config);
        if fault.outcome == Outcome::Malformed { Next::Elsewhere { pause_ms } } else { Next::Again { pause_ms } }
    }
}

/// The longest pause before the try after the `nth` failure of a class.
fn pause_ms(nth: u32, factor: u64, config: &RpcConfig) -> u64 {
    let doubled = config.backoff_ms.saturating_mul(factor).saturating_mul(1 << (nth.saturating_sub(1)).min(16));
    doubled.min(config.max_backoff_ms.saturating_mul(factor))
}

/// Full jitter: anything up to the ceiling, so that those who failed together do not come back together
/// (Brooker, "Exponential Backoff And Jitter", AWS 2015).
pub(super) fn jittered(ceiling_ms: u64) -> u64 {
    rand::rng().random_range(0..=ceiling_ms)
}

/// The fault to report when no further try is made of `method`.
pub(super) fn final_fault(mut fault: Fault, method: &str) -> Fault {
    if fault.is_ambiguous && is_ranged(method) {
        fault.outcome = Outcome::RangeTooLarge;
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(outcome: Outcome, endpoints: usize, config: &RpcConfig) -> Vec<Next> {
        let mut tries = Tries::default();
        let fault = Fault::new(outcome, "");
        let mut all = Vec::new();
        while all.last() != Some(&Next::GiveUp) {
            all.push(tries.after(&fault, endpoints, config));
        }
        all
    }

    #[test]
    fn every_class_has_its_own_limit() {
        let config = RpcConfig { backoff_ms: 100, max_backoff_ms: 300, ..RpcConfig::default() };
        let again = |pause_ms| Next::Again { pause_ms };
        assert_eq!(tries(Outcome::Unreachable, 1, &config), [again(100), again(200), again(300), Next::GiveUp]);
        assert_eq!(
            tries(Outcome::RateLimited, 1, &config),
            [again(400), again(800), again(1_200), again(1_200), again(1_200), Next::GiveUp]
        );
        assert_eq!(tries(Outcome::TimedOut, 1, &config), [again(100), Next::GiveUp]);
        assert_eq!(tries(Outcome::Malformed, 1, &config), [Next::Elsewhere { pause_ms: 100 }, Next::GiveUp]);
        for outcome in [Outcome::Refused, Outcome::RangeTooLarge, Outcome::Denied] {
            assert_eq!(tries(outcome, 1, &config), [Next::GiveUp], "{outcome:?}");
        }
        assert_eq!(tries(Outcome::Denied, 2, &config).len(), 4, "another endpoint may have another key");
    }

    #[test]
    fn the_total_is_limited_whatever_happens() {
        let config = RpcConfig { max_attempts: 3, ..RpcConfig::default() };
        let mut tries = Tries::default();
        let mut after = |outcome| tries.after(&Fault::new(outcome, ""), 2, &config);
        assert_ne!(after(Outcome::Malformed), Next::GiveUp);
        assert_ne!(after(Outcome::TimedOut), Next::GiveUp);
        assert_eq!(after(Outcome::Unreachable), Next::GiveUp);
        let once = RpcConfig { max_attempts: 1, ..RpcConfig::default() };
        assert_eq!(Tries::default().after(&Fault::new(Outcome::RateLimited, ""), 2, &once), Next::GiveUp);
    }

    #[test]
    fn what_may_be_a_range_becomes_one_when_waiting_did_not_help() {
        let fault = Fault { is_ambiguous: true, ..Fault::new(Outcome::RateLimited, "limit exceeded") };
        let mut tries = Tries::default();
        let config = RpcConfig::default();
        assert!(matches!(tries.after(&fault, 1, &config), Next::Again { .. }));
        assert_eq!(tries.after(&fault, 1, &config), Next::GiveUp);
        assert_eq!(final_fault(fault.clone(), "eth_getLogs").outcome, Outcome::RangeTooLarge);
        assert_eq!(final_fault(fault, "eth_call").outcome, Outcome::RateLimited);
    }
}
