//! What was read of tables, kept for as long as it is what they hold.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values by key, read while the tables that they rest on stood at a mark (a version, several, or a [`crate::Mark`]): at another
/// mark they are read again.
#[derive(Debug)]
pub struct Memo<M, K, V> {
    max_values: usize,
    kept: Mutex<Kept<M, K, V>>,
}

#[derive(Debug)]
struct Kept<M, K, V> {
    mark: Option<M>,
    values: HashMap<K, V>,
}

impl<M: PartialEq, K: Eq + Hash, V: Clone> Memo<M, K, V> {
    /// Keeps `max_values` at most.
    pub fn new(max_values: usize) -> Self {
        Self { max_values, kept: Mutex::new(Kept { mark: None, values: HashMap::new() }) }
    }

    /// The value of `key` at `mark`, which is taken before anything is read: so what is kept under it is never older.
    ///
    /// # Errors
    /// Those of `read`; then nothing is kept.
    pub async fn get<E>(&self, mark: M, key: K, read: impl AsyncFnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(value) = self.find(&mark, &key) {
            return Ok(value);
        }
        let value = read().await?;
        self.keep(mark, key, value.clone());
        Ok(value)
    }

    /// Keeps what was read after `mark` was taken.
    pub fn keep(&self, mark: M, key: K, value: V) {
        let mut kept = self.lock();
        if kept.mark.as_ref() != Some(&mark) || kept.values.len() >= self.max_values {
            kept.values.clear();
            kept.mark = Some(mark);
        }
        kept.values.insert(key, value);
    }

    /// What is kept of `key` at `mark`.
    pub fn find(&self, mark: &M, key: &K) -> Option<V> {
        let kept = self.lock();
        kept.values.get(key).filter(|_| kept.mark.as_ref() == Some(mark)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept<M, K, V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_read_once_per_mark() {
        let memo: Memo<u64, &str, usize> = Memo::new(2);
        let get = |mark, key, value| memo.get(mark, key, async move || if value == 0 { Err("failed") } else { Ok(value) });
        assert_eq!(get(1, "a", 0).await, Err("failed"), "a failure is not kept");
        assert_eq!((get(1, "a", 1).await, get(1, "a", 2).await), (Ok(1), Ok(1)));
        assert_eq!((get(2, "a", 3).await, memo.find(&1, &"a")), (Ok(3), None));
        for (key, value) in [("b", 4), ("c", 5)] {
            assert_eq!(get(2, key, value).await, Ok(value));
        }
        assert_eq!((memo.find(&2, &"a"), memo.find(&2, &"c")), (None, Some(5)), "bounded");
    }
}
