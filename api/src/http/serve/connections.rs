//! Which connections are open, and which of them wait for a request: pure bookkeeping under a lock.

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
    /// Counts what happens: who waits since the smaller number waits longer.
    clock: u64,
    by_id: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    /// `None` while a request is at work.
    waiting_since: Option<u64>,
    evicted: CancellationToken,
}

impl Open {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Closes the connection that has waited longest; whether there was one.
    fn evict(&mut self, of: impl Fn(&Connection) -> bool) -> bool {
        let waiting = self.by_id.iter().filter(|(_, connection)| of(connection));
        let longest = waiting.filter_map(|(id, connection)| Some((connection.waiting_since?, *id))).min();
        let Some(evicted) = longest.and_then(|(_, id)| self.by_id.remove(&id)) else { return false };
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
        open.by_id.insert(id, Connection { address, waiting_since: Some(id), evicted: evicted.clone() });
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
    /// A request is there: until the result is dropped, the connection does not wait.
    pub(super) fn begin(&self) -> Working {
        if let Some(connection) = self.connections.lock().by_id.get_mut(&self.id) {
            connection.waiting_since = None;
        }
        Working(self.clone())
    }
}

/// A request at work.
#[derive(Debug)]
pub(super) struct Working(Handle);

impl Drop for Working {
    fn drop(&mut self) {
        let mut open = self.0.connections.lock();
        let now = open.tick();
        if let Some(connection) = open.by_id.get_mut(&self.0.id) {
            connection.waiting_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    #[test]
    fn who_waits_longest_gives_way_and_who_works_stays() {
        let connections = Arc::new(Connections::new(3, 2));
        let places: Vec<Place> = (1..=3).map(|n| connections.enter(address(n)).unwrap()).collect();
        let mut work: Vec<Working> = places.iter().map(|place| place.handle().begin()).collect();
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
        let _busy = second.handle().begin();
        let _third = connections.enter(address(1)).unwrap();
        assert!(first.evicted.is_cancelled() && !second.evicted.is_cancelled());
        assert!(connections.enter(address(2)).is_some(), "others are not asked to give way");
        assert_eq!(connections.lock().by_id.len(), 2, "the last was dropped");
    }
}
