//! Text on the evaluation path: maps with few or many keys, and comparisons that ignore case, none of which allocate.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{HashSet, HashTable};

use crate::{code::TextCode, lower::lower, order};

/// Up to this many keys, comparing them one by one beats hashing.
const FEW: usize = 16;

/// A map from texts, fast to build and to search, for member lists of any length. The first of equal keys stays.
#[derive(Clone, Debug)]
pub(crate) enum TextMap<V> {
    /// Up to [`FEW`] keys.
    Few { codes: Box<[TextCode]>, entries: Box<[(Box<str>, V)]> },
    /// One text for all keys: 100,000 of them cost two allocations.
    Many { text: Box<str>, table: HashTable<Entry<V>> },
}

/// Texts that were seen.
pub(crate) type TextSet<'t> = HashSet<&'t str, FixedState>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<V> {
    start: u32,
    len: u32,
    value: V,
}

/// A set of texts that are equal where their lower-cased characters are.
#[derive(Clone, Debug)]
pub(crate) struct FoldedSet(Box<[Box<str>]>);

/// Whether `A` and `a` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    /// Characters are the same where their lower-case forms are: `char::to_lowercase`, one by one.
    Ignored,
}

impl<V> Default for TextMap<V> {
    fn default() -> Self {
        Self::Few { codes: Box::default(), entries: Box::default() }
    }
}

impl<V: Copy> TextMap<V> {
    /// A map of `keys`. All keys together must stay below 4 GiB: those beyond are never found.
    pub(crate) fn new(keys: &[(&str, V)]) -> Self {
        if keys.len() <= FEW {
            return Self::Few {
                codes: keys.iter().map(|(key, _)| TextCode::new(key)).collect(),
                entries: keys.iter().map(|(key, value)| (Box::from(*key), *value)).collect(),
            };
        }
        let mut text = String::new();
        let mut table = HashTable::with_capacity(keys.len());
        for &(key, value) in keys {
            let hash = hash(key);
            if table.find(hash, |entry| same(slice(&text, entry), key.as_bytes())).is_some() {
                continue;
            }
            let span = u32::try_from(text.len()).ok().zip(u32::try_from(key.len()).ok());
            let Some((start, len)) = span else { continue };
            text.push_str(key);
            // The table has room for all, so that nothing is hashed again.
            table.insert_unique(hash, Entry { start, len, value }, |_| unreachable!("the table has room for all keys"));
        }
        Self::Many { text: text.into(), table }
    }

    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        match self {
            Self::Few { codes, .. } if codes.is_empty() => None,
            Self::Few { codes, entries } => TextCode::new(key).find(key, codes, entries).copied(),
            Self::Many { text, table } => {
                let found = table.find(hash(key), |entry| same(slice(text, entry), key.as_bytes()));
                found.map(|entry| entry.value)
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few { codes, .. } => codes.len(),
            Self::Many { table, .. } => table.len(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Few { codes, .. } if codes.is_empty())
    }
}

/// The hash that tables of texts use. The seed is fixed: the keys come from the configuration, not from attackers.
#[inline]
pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Whether two texts are the same. Short ones are compared here, by two loads that overlap: for them, calling `memcmp`
/// costs more than comparing.
#[inline]
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && match left.len() {
            8..=16 => same_ends::<8>(left, right),
            17..=32 => same_ends::<16>(left, right),
            _ => left == right,
        }
}

#[inline]
fn same_ends<const N: usize>(left: &[u8], right: &[u8]) -> bool {
    left.first_chunk::<N>() == right.first_chunk() && left.last_chunk::<N>() == right.last_chunk()
}

/// The text of an entry; empty for entries of other tables.
#[inline]
fn slice<'t, V>(text: &'t str, entry: &Entry<V>) -> &'t [u8] {
    let start = entry.start as usize;
    text.as_bytes().get(start..start + entry.len as usize).unwrap_or_default()
}

impl FoldedSet {
    pub(crate) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        // UTF-8 is in the order of its characters.
        let texts = texts.map(|text| (lower(text).collect::<String>(), Box::from(text))).collect();
        Self(order::by_text(texts, |(lowered, _)| lowered).into_iter().map(|(_, text)| text).collect())
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.binary_search_by(|candidate| lower(candidate).cmp(lower(text))).is_ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Case {
    #[inline]
    pub(crate) fn starts_with(self, text: &str, prefix: &str) -> bool {
        match self {
            Self::Sensitive => text.as_bytes().get(..prefix.len()).is_some_and(|start| same(start, prefix.as_bytes())),
            Self::Ignored => begins_folded(text, prefix),
        }
    }

    #[inline]
    pub(crate) fn ends_with(self, text: &str, suffix: &str) -> bool {
        match self {
            Self::Sensitive => {
                let start = text.len().checked_sub(suffix.len());
                start.and_then(|start| text.as_bytes().get(start..)).is_some_and(|end| same(end, suffix.as_bytes()))
            }
            Self::Ignored => ends_folded(text, suffix),
        }
    }

    #[inline]
    pub(crate) fn contains(self, text: &str, part: &str) -> bool {
        match self {
            Self::Sensitive => contains(text.as_bytes(), part.as_bytes()),
            Self::Ignored => contains_folded(text, part),
        }
    }
}

/// Whether `part` is anywhere in `text`. O(text × part), with both as short as they are; the standard library's search is
/// linear, and with what it drags along it was a thirtieth of the JavaScript SDK.
fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    let mut starts = text.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.any(|(start, _)| text.get(start..start + part.len()).is_some_and(|slice| same(slice, part)))
}

// Apart, so that what does not ignore case is inlined where it is used.

#[inline(never)]
fn begins_folded(text: &str, prefix: &str) -> bool {
    begins(lower(text), lower(prefix))
}

#[inline(never)]
fn ends_folded(text: &str, suffix: &str) -> bool {
    begins(lower(text).rev(), lower(suffix).rev())
}

#[inline(never)]
fn contains_folded(text: &str, part: &str) -> bool {
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
            let map = TextMap::new(&keys.iter().map(String::as_str).zip(0_u32..).collect::<Vec<_>>());
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
            let others = others.iter().map(|key| (key.as_str(), 3));
            let keys: Vec<(&str, u32)> = [("same", 1), ("same", 2)].into_iter().chain(others).collect();
            assert_eq!(TextMap::new(&keys).get("same"), Some(1));
        }
    }

    #[test]
    fn lower_casing_may_change_the_length() {
        // U+0130 becomes `i` and a combining dot.
        assert!(Case::Ignored.contains("DİYAR", "i\u{307}y"));
        assert!(Case::Ignored.ends_with("aİ", "\u{307}"));
        assert!(!Case::Ignored.starts_with("İ", "iy"));
        let set = FoldedSet::new(["Straße", "ΣΊΣΥΦΟΣ", "İ"].into_iter());
        assert!(set.contains("STRAßE") && !set.contains("STRASSE"));
        assert!(set.contains("σίσυφοσ"), "no final-sigma rule: characters one by one");
        assert!(set.contains("i\u{307}") && !set.contains("i"));
    }

    proptest! {
        #[test]
        fn the_same_is_what_is_equal(left in "[ab]{0,40}", place in 0_usize..40, right in "[ab]{0,40}") {
            let mut changed = left.clone().into_bytes();
            if let Some(byte) = changed.get_mut(place) {
                *byte ^= 1;
            }
            for right in [left.as_bytes(), &changed, right.as_bytes()] {
                prop_assert_eq!(same(left.as_bytes(), right), left.as_bytes() == right);
            }
        }

        #[test]
        fn a_part_is_found_where_it_is(text in "[abé]{0,12}", part in "[abé]{0,4}") {
            prop_assert_eq!(Case::Sensitive.contains(&text, &part), text.contains(&part));
        }

        #[test]
        fn ignoring_case_is_comparing_lower_cased_texts(text in "[aAbBiIİ]{0,6}", part in "[aAbBiIİ]{0,3}") {
            let lowered = |text: &str| lower(text).collect::<String>();
            let (low_text, low_part) = (lowered(&text), lowered(&part));
            prop_assert_eq!(Case::Ignored.contains(&text, &part), low_text.contains(&low_part));
            prop_assert_eq!(Case::Ignored.starts_with(&text, &part), low_text.starts_with(&low_part));
            prop_assert_eq!(Case::Ignored.ends_with(&text, &part), low_text.ends_with(&low_part));
            prop_assert_eq!(FoldedSet::new([text.as_str(), "b"].into_iter()).contains(&part), low_text == low_part || low_part == "b");
        }
    }
}
