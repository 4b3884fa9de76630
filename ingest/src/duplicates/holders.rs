//! Who has a band or a phrase first, and who after that. There are dozens of them for each chunk, and nearly all have one holder.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;

/// Set where a [`Slot`] names a list.
const SEVERAL: u32 = 1 << 31;

/// Positions by key, the earliest of each key.
#[derive(Debug)]
pub(super) struct Holders {
    /// Of one key.
    most: usize,
    slots: HashTable<Slot>,
    /// Of keys that have more than one.
    several: Vec<Vec<u32>>,
    /// Keyed anew in every process: nobody can make texts whose keys all fall into one place.
    hasher: RandomState,
}

/// Twelve bytes, aligned to four, for there are tens of millions.
#[derive(Debug, Clone, Copy)]
struct Slot {
    key: [u32; 2],
    /// The position, or with [`SEVERAL`] the list of them.
    holder: u32,
}

impl Slot {
    fn list(self) -> Option<usize> {
        (self.holder & SEVERAL != 0).then_some((self.holder & !SEVERAL) as usize)
    }
}

impl Holders {
    /// Keeps `most` of each key, two at least.
    pub(super) fn new(most: usize) -> Self {
        Self { most, slots: HashTable::new(), several: Vec::new(), hasher: RandomState::new() }
    }

    /// The earliest positions that were added under a key.
    pub(super) fn of(&self, key: u64) -> impl Iterator<Item = usize> {
        let parts = halves(key);
        let slot = self.slots.find(self.hasher.hash_one(parts), |slot| slot.key == parts);
        let list = slot.and_then(|slot| self.several.get(slot.list()?));
        let one = slot.filter(|slot| slot.list().is_none()).map(|slot| slot.holder);
        list.into_iter().flatten().copied().chain(one).map(|at| at as usize)
    }

    /// Adds a position after all that were added.
    pub(super) fn add(&mut self, key: u64, at: usize) {
        let Some(at) = number(at) else { return };
        let (hasher, parts) = (&self.hasher, halves(key));
        let hash = hasher.hash_one(parts);
        let Some(slot) = self.slots.find_mut(hash, |slot| slot.key == parts) else {
            self.slots.insert_unique(hash, Slot { key: parts, holder: at }, |slot| hasher.hash_one(slot.key));
            return;
        };
        match slot.list() {
            Some(list) => self.several.get_mut(list).filter(|list| list.len() < self.most).into_iter().for_each(|list| list.push(at)),
            None => {
                if let Some(list) = number(self.several.len()) {
                    self.several.push(vec![slot.holder, at]);
                    slot.holder = SEVERAL | list;
                }
            }
        }
    }

    /// How many positions the fullest key has.
    #[cfg(test)]
    pub(super) fn fullest(&self) -> usize {
        self.several.iter().map(Vec::len).max().unwrap_or(usize::from(!self.slots.is_empty()))
    }
}

/// More than can be numbered do not fit into memory.
fn number(at: usize) -> Option<u32> {
    u32::try_from(at).ok().filter(|at| at & SEVERAL == 0)
}

fn halves(key: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = key.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_key_has_its_earliest_holders(keys in prop::collection::vec(0u64..40, 0..300), most in 2usize..6) {
            let (mut holders, mut expected) = (Holders::new(most), HashMap::<u64, Vec<usize>>::new());
            // keys that agree in one half are others
            let keys: Vec<u64> = keys.iter().map(|key| ((key % 7) << 32) | (key / 7)).collect();
            for (at, key) in keys.iter().enumerate() {
                holders.add(*key, at);
                expected.entry(*key).or_default().push(at);
            }
            for key in keys {
                let earliest: Vec<usize> = expected[&key].iter().copied().take(most).collect();
                prop_assert_eq!(holders.of(key).collect::<Vec<usize>>(), earliest);
            }
            prop_assert_eq!(holders.of(u64::MAX).count(), 0);
        }
    }
}
