//! What came lately, by hash, so that what comes again is known.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// The hashes that came last: at most [`Recent::CAPACITY`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct Recent {
    known: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl Recent {
    /// A client repeats a batch within seconds: 10,000 clients with a batch every 10 s are remembered for a minute.
    pub const CAPACITY: usize = 65_536;

    /// Whether it is new. It is not from now on.
    pub fn note(&mut self, hash: u64) -> bool {
        if !self.known.insert(hash) {
            return false;
        }
        self.in_order.push_back(hash);
        if self.in_order.len() > Self::CAPACITY
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Whether it was noted.
    pub fn has(&self, hash: u64) -> bool {
        self.known.contains(&hash)
    }
}

impl From<Vec<u64>> for Recent {
    fn from(in_order: Vec<u64>) -> Self {
        Self { known: in_order.iter().copied().collect(), in_order: in_order.into() }
    }
}

impl From<Recent> for Vec<u64> {
    fn from(recent: Recent) -> Self {
        recent.in_order.into()
    }
}

/// Stands for a batch of that id, sent with that key.
pub fn batch_hash(key: &str, id: &str) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(key.as_bytes());
    hasher.update(&[0]);
    hasher.update(id.as_bytes());
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_new_once_for_each_key() {
        let mut recent = Recent::default();
        let mut note = |key, id: &str| recent.note(batch_hash(key, id));
        assert!(note("key", "a"));
        assert!(!note("key", "a"));
        assert!(note("other", "a"));
        assert!(note("ke", "ya"));
        for id in 0..Recent::CAPACITY {
            note("many", &id.to_string());
        }
        assert!(note("key", "a"));
        assert_eq!((recent.known.len(), recent.in_order.len()), (Recent::CAPACITY, Recent::CAPACITY));
        assert_eq!(Recent::from(Vec::from(recent.clone())), recent);
    }
}
