//! Places for what costs much: so many at once in all, and for each holder at most half of them, so that nobody shuts
//! the others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::Caller;

/// All places of one kind. Each taken one counts for all its holders, which are names of any kind.
#[derive(Debug)]
pub struct Places {
    taken: Mutex<Taken>,
    max: usize,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_holder: BTreeMap<String, usize>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    ForAll,
    /// A holder has as many as one may have.
    ForOne,
}

impl Places {
    /// At least one.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), max: max.max(1) })
    }

    /// What one holder may have.
    pub fn max_each(&self) -> usize {
        self.max.div_ceil(2)
    }

    pub fn max(&self) -> usize {
        self.max
    }

    pub fn taken(&self) -> usize {
        self.lock().in_all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place besides the last `kept`, where there are so many.
    ///
    /// # Errors
    /// All are taken, or a holder has its share.
    pub fn take(self: &Arc<Self>, holders: Vec<String>, kept: usize) -> Result<Place, Full> {
        let mut taken = self.lock();
        if holders.iter().any(|holder| taken.by_holder.get(holder).is_some_and(|held| *held >= self.max_each())) {
            return Err(Full::ForOne);
        }
        if taken.in_all >= self.max.saturating_sub(kept).max(1) {
            return Err(Full::ForAll);
        }
        taken.in_all += 1;
        for holder in &holders {
            *taken.by_holder.entry(holder.clone()).or_default() += 1;
        }
        Ok(Place { places: self.clone(), holders })
    }
}

impl Places {
    /// A place for whoever has a key. One is the operator's. Who pays is one, with however many keys.
    ///
    /// # Errors
    /// As [`Places::take`].
    pub fn take_for(self: &Arc<Self>, caller: &Caller) -> Result<Place, Full> {
        if caller.may(&[]) {
            return self.take(Vec::new(), 0);
        }
        self.take(vec![caller.payer.map_or_else(|| caller.key_id.clone(), |payer| payer.to_string())], 1)
    }
}

/// A place, until dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    holders: Vec<String>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.in_all = taken.in_all.saturating_sub(1);
        for holder in &self.holders {
            if let Some(held) = taken.by_holder.get_mut(holder) {
                *held = held.saturating_sub(1);
            }
        }
        taken.by_holder.retain(|_, held| *held > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_half_and_one_is_kept() {
        let places = Places::new(4);
        let take = |holders: &[&str], kept| places.take(holders.iter().map(|&holder| holder.to_owned()).collect(), kept);
        let mut held = vec![take(&["ada"], 1).unwrap(), take(&["ada", "her address"], 1).unwrap()];
        assert_eq!(take(&["ada"], 1).unwrap_err(), Full::ForOne);
        assert_eq!(take(&["elsewhere", "ada"], 1).unwrap_err(), Full::ForOne, "every holder counts");
        held.push(take(&["bruno", "her address"], 1).unwrap());
        assert_eq!(take(&["carla"], 1).unwrap_err(), Full::ForAll);
        held.push(take(&[], 0).unwrap());
        assert_eq!(take(&[], 0).unwrap_err(), Full::ForAll);
        held.clear();
        assert!(places.lock().by_holder.is_empty());
        take(&["ada"], 1).unwrap();
    }

    #[test]
    fn the_only_place_is_everybodys() {
        let places = Places::new(1);
        let only = places.take(vec!["ada".into()], 1).unwrap();
        assert_eq!(places.take(Vec::new(), 0).unwrap_err(), Full::ForAll);
        drop(only);
        places.take(Vec::new(), 0).unwrap();
    }
}
