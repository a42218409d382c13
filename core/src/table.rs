//! Objects in the order of their keys. Tables share what they have in common: a change to one object of 10,000 copies a
//! chunk and a list of chunks.

use std::{fmt, sync::Arc};

use hashbrown::HashTable;

use crate::text::{hash, same};

/// What a [`Table`] holds.
pub(crate) trait Keyed: Clone + fmt::Debug {
    fn key(&self) -> &Arc<str>;
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Table<T: Keyed> {
    /// All of them are full but the last.
    chunks: Box<[Arc<[T]>]>,
    /// Where each key is, counted over all chunks.
    places: Arc<HashTable<(Arc<str>, usize)>>,
}

/// Objects of one chunk: few to copy, and many enough that the list of chunks stays in the cache.
const CHUNK: usize = 32;

impl<T: Keyed> Default for Table<T> {
    fn default() -> Self {
        Self { chunks: Box::default(), places: Arc::default() }
    }
}

impl<T: Keyed> Table<T> {
    #[inline]
    pub(crate) fn place(&self, key: &str) -> Option<usize> {
        let found = self.places.find(hash(key), |(known, _)| same(known.as_bytes(), key.as_bytes()));
        found.map(|(_, place)| *place)
    }

    #[inline]
    pub(crate) fn find(&self, key: &str) -> Option<&T> {
        self.get(self.place(key)?)
    }

    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    /// To be changed, and not its key. Copies the chunk where other tables share it.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        Arc::make_mut(self.chunks.get_mut(place / CHUNK)?).get_mut(place % CHUNK)
    }

    /// In the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether each place has the same key in both tables.
    pub(crate) fn has_places_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.places, &other.places)
    }

    /// The table with some objects put or removed (`None`), in the order of their keys. O(changes), and a pointer copied for each chunk, where
    /// neither adds nor removes a key; else O(objects), and what was kept has other places.
    pub(crate) fn with(&self, changes: Vec<(Arc<str>, Option<T>)>) -> Self {
        if changes.iter().all(|(key, object)| self.place(key).is_some() == object.is_some()) {
            let mut table = self.clone();
            for (key, object) in changes {
                let place = table.place(&key);
                if let Some((old, object)) = place.and_then(|place| table.get_mut(place)).zip(object) {
                    *old = object;
                }
            }
            return table;
        }
        let mut objects: Vec<T> = Vec::with_capacity(self.len() + changes.len());
        let mut place = 0;
        for (key, object) in changes {
            while let Some(before) = self.get(place).filter(|before| *before.key() < key) {
                objects.push(before.clone());
                place += 1;
            }
            place += usize::from(self.get(place).is_some_and(|replaced| *replaced.key() == key));
            objects.extend(object);
        }
        while let Some(after) = self.get(place) {
            objects.push(after.clone());
            place += 1;
        }
        let mut places = HashTable::with_capacity(objects.len());
        for (place, object) in objects.iter().enumerate() {
            let key = object.key();
            places.insert_unique(hash(key), (Arc::clone(key), place), hash_of_place);
        }
        let mut chunks = Vec::with_capacity(objects.len().div_ceil(CHUNK));
        let mut chunk = Vec::with_capacity(CHUNK);
        for object in objects {
            chunk.push(object);
            if chunk.len() == CHUNK {
                chunks.push(Arc::from(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))));
            }
        }
        chunks.extend((!chunk.is_empty()).then(|| Arc::from(chunk)));
        Self { chunks: chunks.into(), places: Arc::new(places) }
    }
}

fn hash_of_place((key, _): &(Arc<str>, usize)) -> u64 {
    hash(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Keyed for (Arc<str>, u32) {
        fn key(&self) -> &Arc<str> {
            &self.0
        }
    }

    /// Changes of some of 100 keys; `None` removes.
    fn changes() -> impl Strategy<Value = BTreeMap<Arc<str>, Option<u32>>> {
        prop::collection::btree_map((0..100).prop_map(|n| format!("{n}").into()), any::<Option<u32>>(), 0..80)
    }

    proptest! {
        #[test]
        fn a_table_is_a_map(steps in prop::collection::vec(changes(), 1..6)) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for changes in steps {
                let (before, known) = (table.clone(), map.clone());
                table = table.with(changes.iter().map(|(key, n)| (key.clone(), n.map(|n| (key.clone(), n)))).collect());
                for (key, n) in changes {
                    match n {
                        Some(n) => map.insert(key, n),
                        None => map.remove(&key),
                    };
                }
                for (table, map) in [(&table, &map), (&before, &known)] {
                    prop_assert!(table.iter().map(|(key, n)| (key, n)).eq(map));
                    prop_assert_eq!(table.len(), map.len());
                    for (place, object) in table.iter().enumerate() {
                        prop_assert_eq!((table.get(place), table.place(&object.0)), (Some(object), Some(place)));
                    }
                    prop_assert!(table.get(table.len()).is_none() && table.find("100").is_none());
                }
                prop_assert!(!table.has_places_of(&before) || map.keys().eq(known.keys()));
            }
        }
    }
}
