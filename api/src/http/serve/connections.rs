//! Which connections are open, and how far each is with its request: pure bookkeeping under a lock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<Open>,
    max: usize,
    max_per_address: usize,
}

#[derive(Debug, Default)]
struct Open {
    /// Counts what happens: the smaller number is longer ago.
    clock: u64,
    by_id: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    phase: Phase,
    evicted: CancellationToken,
}

/// In the order in which connections give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// For a request, since then.
    Waiting(u64),
    /// A request's body, since then.
    Receiving(u64),
    /// Does not give way.
    Working,
}

impl Open {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Closes the connection that has waited longest, or else received longest; whether there was one.
    fn evict(&mut self, of: impl Fn(&Connection) -> bool) -> bool {
        let idle = self.by_id.iter().filter(|(_, connection)| of(connection) && connection.phase != Phase::Working);
        let first = idle.min_by_key(|(_, connection)| connection.phase).map(|(id, _)| *id);
        let Some(evicted) = first.and_then(|id| self.by_id.remove(&id)) else { return false };
        evicted.evicted.cancel();
        true
    }
}

impl Connections {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        Self { open: Mutex::default(), max, max_per_address }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection; `None` where all that are open are at work.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.lock();
        let of_address = open.by_id.values().filter(|connection| connection.address == address).count();
        if of_address >= self.max_per_address && !open.evict(|connection| connection.address == address) {
            return None;
        }
        if open.by_id.len() >= self.max && !open.evict(|_| true) {
            return None;
        }
        let id = open.tick();
        let evicted = CancellationToken::new();
        open.by_id.insert(id, Connection { address, phase: Phase::Waiting(id), evicted: evicted.clone() });
        Some(Place { handle: Handle { connections: self.clone(), id }, evicted })
    }
}

/// A connection's place, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    handle: Handle,
    evicted: CancellationToken,
}

impl Place {
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Whether a request was received and its answer is not sent.
    pub(super) fn is_working(&self) -> bool {
        self.handle.connections.lock().by_id.get(&self.handle.id).is_some_and(|connection| connection.phase == Phase::Working)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handle.connections.lock().by_id.remove(&self.handle.id);
    }
}

/// Names a place without keeping it.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    connections: Arc<Connections>,
    id: u64,
}

impl Handle {
    /// The head of a request is there: until the result is dropped, the connection does not wait for one.
    pub(super) fn begin(&self) -> Begun {
        self.pass(|_, now| Phase::Receiving(now));
        Begun(self.clone())
    }

    /// The whole request is there.
    pub(super) fn work(&self) {
        self.pass(|phase, _| if matches!(phase, Phase::Receiving(_)) { Phase::Working } else { phase });
    }

    fn pass(&self, to: impl FnOnce(Phase, u64) -> Phase) {
        let mut open = self.connections.lock();
        let now = open.tick();
        if let Some(connection) = open.by_id.get_mut(&self.id) {
            connection.phase = to(connection.phase, now);
        }
    }
}

/// A request, until it is answered.
#[derive(Debug)]
pub(super) struct Begun(Handle);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.pass(|_, now| Phase::Waiting(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    fn at_work(place: &Place) -> Begun {
        let begun = place.handle().begin();
        assert!(!place.is_working());
        place.handle().work();
        assert!(place.is_working());
        begun
    }

    #[test]
    fn who_sends_a_body_gives_way_after_those_who_send_nothing() {
        let connections = Arc::new(Connections::new(4, 4));
        let places: Vec<Place> = (1..=4).map(|n| connections.enter(address(n)).unwrap()).collect();
        // The second has been sending longest; the third is at work; the fourth sends nothing.
        let _begun = [places[1].handle().begin(), at_work(&places[2]), places[0].handle().begin()];
        let mut entered = Vec::new();
        for given_way in [3, 1, 0] {
            assert!(!places[given_way].evicted.is_cancelled());
            let place = connections.enter(address(5)).unwrap();
            assert!(places[given_way].evicted.is_cancelled(), "{given_way}");
            entered.push((place.handle().begin(), place));
        }
        assert!(!places[2].evicted.is_cancelled());
    }

    #[test]
    fn who_waits_longest_gives_way_and_who_works_stays() {
        let connections = Arc::new(Connections::new(3, 2));
        let places: Vec<Place> = (1..=3).map(|n| connections.enter(address(n)).unwrap()).collect();
        let mut work: Vec<Begun> = places.iter().map(at_work).collect();
        assert!(connections.enter(address(4)).is_none(), "all are at work");
        drop(work.remove(1));
        let fourth = connections.enter(address(4)).unwrap();
        assert!(places[1].evicted.is_cancelled() && !places[0].evicted.is_cancelled() && !places[2].evicted.is_cancelled());
        drop(fourth);
        assert!(connections.enter(address(5)).is_some(), "a place is free again");
    }

    #[test]
    fn an_address_has_so_many_places() {
        let connections = Arc::new(Connections::new(10, 2));
        let (first, second) = (connections.enter(address(1)).unwrap(), connections.enter(address(1)).unwrap());
        let _busy = at_work(&second);
        let _third = connections.enter(address(1)).unwrap();
        assert!(first.evicted.is_cancelled() && !second.evicted.is_cancelled());
        assert!(connections.enter(address(2)).is_some(), "others are not asked to give way");
        assert_eq!(connections.lock().by_id.len(), 2, "the last was dropped");
    }
}
