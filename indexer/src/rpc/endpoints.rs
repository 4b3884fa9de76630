//! Which of several addresses is used: the first in the order given that is not left alone. One
//! that fails repeatedly is left alone for a while, and longer each time. Decides only; the time is
//! given, nothing is sent from here.

use std::time::Duration;

use tokio::time::Instant;

use super::config::RpcConfig;
use super::fault::Fault;
use super::stats::Outcome;

#[derive(Debug)]
pub(super) struct Endpoints {
    health: Vec<Health>,
    in_use: usize,
    switches: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    pub(super) failures_in_a_row: u32,
    /// How often in a row it cooled down.
    cool_downs: u32,
    cooling_until: Option<Instant>,
    /// It asked to be left alone until then.
    resting_until: Option<Instant>,
}

impl Health {
    pub(super) fn is_cooling(&self, now: Instant) -> bool {
        self.cooling_until.is_some_and(|until| until > now)
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.resting_until.is_some_and(|until| until > now)
    }

    /// When it may be asked, and when it should be; `None` is now.
    fn ready(&self, now: Instant) -> (Option<Instant>, Option<Instant>) {
        (self.resting_until.filter(|until| *until > now), self.cooling_until.filter(|until| *until > now))
    }
}

/// Which endpoint to use, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) index: usize,
    pub(super) not_before: Option<Instant>,
}

impl Endpoints {
    /// `count` is at least 1.
    pub(super) fn new(count: usize) -> Self {
        Self { health: vec![Health::default(); count], in_use: 0, switches: 0 }
    }

    /// The endpoint for the next exchange; another one than `avoid` if one will do.
    pub(super) fn choose(&mut self, now: Instant, avoid: Option<usize>) -> Choice {
        let usable = |index: &usize| self.health.get(*index).is_some_and(|health| !health.is_cooling(now) && !health.is_resting(now));
        let all = 0..self.health.len();
        let index = match (all.clone().find(|index| usable(index) && Some(*index) != avoid), avoid) {
            // A detour around one bad reply changes nothing for others.
            (Some(index), Some(_)) => return Choice { index, not_before: None },
            (Some(index), None) => index,
            // All are left alone: one that failed is tried before one that asked for time.
            (None, _) => all.min_by_key(|index| self.health.get(*index).map(|health| health.ready(now))).unwrap_or(0),
        };
        if index != self.in_use {
            self.in_use = index;
            self.switches += 1;
        }
        let resting_until = self.health.get(index).and_then(|health| health.resting_until);
        Choice { index, not_before: resting_until.filter(|until| *until > now) }
    }

    pub(super) fn answered(&mut self, index: usize) {
        if let Some(health) = self.health.get_mut(index) {
            *health = Health { resting_until: health.resting_until, ..Health::default() };
        }
    }

    pub(super) fn failed(&mut self, index: usize, fault: &Fault, now: Instant, config: &RpcConfig) {
        let Some(health) = self.health.get_mut(index) else { return };
        if let Some(retry_after_ms) = fault.retry_after_ms {
            let until = now.checked_add(Duration::from_millis(retry_after_ms.min(config.max_retry_after_ms)));
            health.resting_until = health.resting_until.max(until);
        }
        health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        if fault.outcome == Outcome::Denied || health.failures_in_a_row >= config.failures_before_switch.max(1) {
            // Requests that were under way together fail together, and are one failure.
            if !health.is_cooling(now) {
                let cool_down_ms = config.cool_down_ms.saturating_mul(1 << health.cool_downs.min(4));
                health.cooling_until = now.checked_add(Duration::from_millis(cool_down_ms));
                health.cool_downs = health.cool_downs.saturating_add(1);
            }
        }
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    pub(super) fn switches(&self) -> u64 {
        self.switches
    }

    pub(super) fn health(&self) -> &[Health] {
        &self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_failing_endpoint_is_left_returned_to_and_left_for_longer() {
        let config = RpcConfig { failures_before_switch: 2, cool_down_ms: 100, ..RpcConfig::default() };
        let start = Instant::now();
        let mut endpoints = Endpoints::new(2);
        let fault = Fault::new(Outcome::Unreachable, "gone");
        let chosen = |endpoints: &mut Endpoints, ms| endpoints.choose(after(start, ms), None).index;

        assert_eq!(chosen(&mut endpoints, 0), 0);
        endpoints.failed(0, &fault, start, &config);
        assert_eq!(chosen(&mut endpoints, 0), 0, "once is not repeatedly");
        endpoints.failed(0, &fault, start, &config);
        assert_eq!(chosen(&mut endpoints, 0), 1);
        assert_eq!(chosen(&mut endpoints, 99), 1);
        assert_eq!(chosen(&mut endpoints, 100), 0, "the first one is preferred");
        endpoints.failed(0, &fault, after(start, 100), &config);
        assert_eq!(chosen(&mut endpoints, 299), 1, "one more failure is enough, for twice as long");
        assert_eq!(chosen(&mut endpoints, 300), 0);
        endpoints.answered(0);
        endpoints.failed(0, &fault, after(start, 300), &config);
        assert_eq!(chosen(&mut endpoints, 300), 0, "an answer forgives");
        assert_eq!(endpoints.switches(), 4);
    }

    #[test]
    fn a_node_that_asks_for_time_gets_it() {
        let config = RpcConfig { max_retry_after_ms: 500, ..RpcConfig::default() };
        let start = Instant::now();
        let fault = Fault { retry_after_ms: Some(9_000), ..Fault::new(Outcome::RateLimited, "slow down") };
        let mut alone = Endpoints::new(1);
        alone.failed(0, &fault, start, &config);
        assert_eq!(alone.choose(start, None), Choice { index: 0, not_before: Some(after(start, 500)) });
        assert_eq!(alone.choose(after(start, 500), None), Choice { index: 0, not_before: None });

        let mut two = Endpoints::new(2);
        two.failed(0, &fault, start, &config);
        assert_eq!(two.choose(start, None), Choice { index: 1, not_before: None });
    }

    #[test]
    fn a_detour_is_not_a_switch() {
        let now = Instant::now();
        let mut endpoints = Endpoints::new(2);
        assert_eq!(endpoints.choose(now, Some(0)).index, 1);
        assert_eq!((endpoints.switches(), endpoints.choose(now, None).index), (0, 0));
        assert_eq!(Endpoints::new(1).choose(now, Some(0)).index, 0, "the only one is better than none");
    }

    #[test]
    fn with_all_endpoints_failing_the_one_that_failed_first_is_tried() {
        let config = RpcConfig { failures_before_switch: 1, cool_down_ms: 100, ..RpcConfig::default() };
        let start = Instant::now();
        let mut endpoints = Endpoints::new(3);
        for (index, ms) in [(1, 0), (0, 10), (2, 20)] {
            endpoints.failed(index, &Fault::new(Outcome::TimedOut, ""), after(start, ms), &config);
        }
        assert_eq!(endpoints.choose(after(start, 30), None), Choice { index: 1, not_before: None });
    }
}
