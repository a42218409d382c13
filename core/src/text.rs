//! Text on the evaluation path: maps with few or many keys, and comparisons that ignore case, none of which allocate.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Up to this many keys, comparing them one by one beats hashing.
const FEW: usize = 8;

/// A map from texts, fast to build and to search, for member lists of any length. The first of equal keys stays.
#[derive(Clone, Debug)]
pub(crate) struct TextMap<V> {
    case: Case,
    entries: Entries<V>,
}

/// Whether `A` and `a` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    /// Characters are the same where their lower-case forms are: `char::to_lowercase`, one by one.
    Ignored,
}

#[derive(Clone, Debug)]
enum Entries<V> {
    Few(Box<[(Box<str>, V)]>),
    /// One text for all keys: 100,000 of them cost two allocations.
    Many {
        text: Box<str>,
        table: HashTable<Entry<V>>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    start: u32,
    len: u32,
    value: V,
}

impl<V> Default for TextMap<V> {
    fn default() -> Self {
        Self { case: Case::Sensitive, entries: Entries::Few(Box::default()) }
    }
}

impl<V: Copy> TextMap<V> {
    /// A map of `keys`. All keys together must stay below 4 GiB: those beyond are never found.
    pub(crate) fn new<'a>(case: Case, keys: impl ExactSizeIterator<Item = (&'a str, V)>) -> Self {
        if keys.len() <= FEW {
            return Self { case, entries: Entries::Few(keys.map(|(key, value)| (key.into(), value)).collect()) };
        }
        let mut text = String::new();
        let mut table = HashTable::with_capacity(keys.len());
        for (key, value) in keys {
            let hash = case.hash(key);
            if table.find(hash, |entry| case.eq(slice(&text, entry), key)).is_some() {
                continue;
            }
            let span = u32::try_from(text.len()).ok().zip(u32::try_from(key.len()).ok());
            let Some((start, len)) = span else { continue };
            text.push_str(key);
            // The table has room for all, so that the function to hash again is never called.
            table.insert_unique(hash, Entry { start, len, value }, |entry| case.hash(slice(&text, entry)));
        }
        Self { case, entries: Entries::Many { text: text.into(), table } }
    }

    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        match &self.entries {
            Entries::Few(entries) => {
                entries.iter().find(|(candidate, _)| self.case.eq(candidate, key)).map(|(_, value)| *value)
            }
            Entries::Many { text, table } => {
                let found = table.find(self.case.hash(key), |entry| self.case.eq(slice(text, entry), key));
                found.map(|entry| entry.value)
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.entries {
            Entries::Few(entries) => entries.len(),
            Entries::Many { table, .. } => table.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[inline]
fn slice<'t, V>(text: &'t str, entry: &Entry<V>) -> &'t str {
    let start = entry.start as usize;
    text.get(start..start + entry.len as usize).unwrap_or_default()
}

impl Case {
    #[inline]
    fn eq(self, left: &str, right: &str) -> bool {
        match self {
            Self::Sensitive => left == right,
            Self::Ignored => lower(left).eq(lower(right)),
        }
    }

    /// Equal texts have equal hashes. The seed is fixed: the keys come from the configuration, not from attackers.
    #[inline]
    fn hash(self, text: &str) -> u64 {
        match self {
            Self::Sensitive => FixedState::default().hash_one(text),
            // FNV-1a over characters.
            Self::Ignored => lower(text).fold(0xcbf2_9ce4_8422_2325, |hash, character| {
                (hash ^ u64::from(character)).wrapping_mul(0x0000_0100_0000_01b3)
            }),
        }
    }

    pub(crate) fn starts_with(self, text: &str, prefix: &str) -> bool {
        match self {
            Self::Sensitive => text.starts_with(prefix),
            Self::Ignored => begins(lower(text), lower(prefix)),
        }
    }

    pub(crate) fn ends_with(self, text: &str, suffix: &str) -> bool {
        match self {
            Self::Sensitive => text.ends_with(suffix),
            Self::Ignored => begins(lower(text).rev(), lower(suffix).rev()),
        }
    }

    pub(crate) fn contains(self, text: &str, part: &str) -> bool {
        match self {
            Self::Sensitive => text.contains(part),
            Self::Ignored => {
                let mut rest = lower(text);
                loop {
                    if begins(rest.clone(), lower(part)) {
                        return true;
                    }
                    if rest.next().is_none() {
                        return false;
                    }
                }
            }
        }
    }
}

fn lower(text: &str) -> impl DoubleEndedIterator<Item = char> + Clone {
    text.chars().flat_map(char::to_lowercase)
}

fn begins(mut text: impl Iterator<Item = char>, mut prefix: impl Iterator<Item = char>) -> bool {
    prefix.all(|character| text.next() == Some(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_and_many_keys_are_found() {
        for n_keys in [0, 1, FEW, FEW + 1, 1_000] {
            let keys: Vec<String> = (0..n_keys).map(|n| format!("key-{n}")).collect();
            let map = TextMap::new(
                Case::Sensitive,
                keys.iter().map(String::as_str).zip(0_u32..).collect::<Vec<_>>().into_iter(),
            );
            assert_eq!(map.len(), n_keys);
            assert!(keys.iter().zip(0..).all(|(key, n)| map.get(key) == Some(n)));
            assert_eq!(map.get("KEY-0"), None);
            assert_eq!(map.get(""), None);
        }
    }

    #[test]
    fn the_first_of_equal_keys_stays() {
        for n_others in [0, 100] {
            let others: Vec<String> = (0..n_others).map(|n| format!("other-{n}")).collect();
            let keys: Vec<(&str, u32)> =
                [("Straße", 1), ("STRAßE", 2)].into_iter().chain(others.iter().map(|key| (key.as_str(), 3))).collect();
            let map = TextMap::new(Case::Ignored, keys.into_iter());
            assert_eq!(map.get("straße"), Some(1));
        }
    }

    #[test]
    fn lower_casing_may_change_the_length() {
        // U+0130 becomes `i` and a combining dot.
        assert!(Case::Ignored.contains("DİYAR", "i\u{307}y"));
        assert!(Case::Ignored.ends_with("aİ", "\u{307}"));
        assert!(!Case::Ignored.starts_with("İ", "iy"));
        assert!(Case::Ignored.eq("ΣΊΣΥΦΟΣ", "σίσυφοσ"), "no final-sigma rule: characters one by one");
    }

    proptest! {
        #[test]
        fn ignoring_case_is_comparing_lower_cased_texts(text in "[aAbBiIİ]{0,6}", part in "[aAbBiIİ]{0,3}") {
            let lowered = |text: &str| lower(text).collect::<String>();
            let (low_text, low_part) = (lowered(&text), lowered(&part));
            prop_assert_eq!(Case::Ignored.contains(&text, &part), low_text.contains(&low_part));
            prop_assert_eq!(Case::Ignored.starts_with(&text, &part), low_text.starts_with(&low_part));
            prop_assert_eq!(Case::Ignored.ends_with(&text, &part), low_text.ends_with(&low_part));
            prop_assert_eq!(Case::Ignored.eq(&text, &part), low_text == low_part);
        }
    }
}
