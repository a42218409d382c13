//! Counters of exposures that any number of threads count in at once.
//!
//! A hash table of fixed size with open addressing. A slot belongs to the fingerprint that was first written into it,
//! until the table is emptied by somebody who has it alone. Fingerprints have 64 bits: among 10,000 exposures, two are
//! taken for one with a probability of 3 · 10⁻¹².

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use dashmap::DashMap;
use tidegate_core::Timestamp;
use tidegate_protocol::events::{Exposure, UnitHash};
use xxhash_rust::xxh3::xxh3_64;

/// Slots that are looked at before the table counts as full. At most half of them are used, so this is hardly reached.
const MAX_PROBES: usize = 32;

#[derive(Debug)]
pub(super) struct Table {
    /// A power of two, at least twice `max`.
    slots: Box<[Slot]>,
    max: NonZeroUsize,
    len: AtomicUsize,
    /// What the slots' `what` stand for, by all but their lowest bits. Asked only for the first exposure of a unit.
    names: DashMap<u64, Name>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Of all of [`Exposed`]; 0: the slot is free.
    fingerprint: AtomicU64,
    /// See [`Exposed::what`].
    what: AtomicU64,
    unit: AtomicU64,
    /// [`NO_BUCKET`]: none decided.
    bucket: AtomicU32,
    count: AtomicU64,
    /// When first.
    at: AtomicI64,
}

/// Beyond all buckets.
const NO_BUCKET: u32 = u32::MAX;

#[derive(Debug)]
struct Name {
    flag: String,
    version: u64,
    variant: Option<String>,
    rule: Option<String>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exposed<'a> {
    pub flag: &'a str,
    pub version: u64,
    pub variant: Option<&'a str>,
    /// The rule that served, as [`Evaluation::rule`](tidegate_core::Evaluation::rule) has it.
    pub rule: Option<(usize, &'a str)>,
    pub unit: Option<UnitHash>,
    /// Follows from the others.
    pub bucket: Option<u32>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Yes,
    /// Counted, and half of the room is taken. Said once.
    HalfFull,
    NoRoom,
}

impl Table {
    pub fn new(max: NonZeroUsize) -> Self {
        let n_slots = max.get().saturating_mul(2).next_power_of_two();
        let slots = std::iter::repeat_with(Slot::default).take(n_slots).collect();
        Self { slots, max, len: AtomicUsize::new(0), names: DashMap::new() }
    }

    /// An empty one of the same size.
    pub fn another(&self) -> Self {
        Self::new(self.max)
    }

    pub fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Counts one exposure. Wait-free but for the first exposure of a unit, which asks the names.
    #[inline]
    pub fn count(&self, exposed: Exposed<'_>, now: Timestamp) -> Counted {
        let what = exposed.what();
        let fingerprint = mix(what, exposed.unit.map_or(0, |UnitHash(hash)| hash)).max(1);
        for slot in self.probe(fingerprint) {
            let found = slot.fingerprint.load(Ordering::Relaxed);
            if found == fingerprint {
                slot.count.fetch_add(1, Ordering::Relaxed);
                return Counted::Yes;
            }
            if found == 0 {
                match self.claim(slot, fingerprint, what, exposed, now) {
                    Claimed::Yes(counted) => return counted,
                    Claimed::ByAnother => {}
                }
            }
        }
        Counted::NoRoom
    }

    #[inline]
    fn probe(&self, fingerprint: u64) -> impl Iterator<Item = &Slot> {
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits are as good as any")]
        let start = fingerprint as usize;
        (0..MAX_PROBES).filter_map(move |step| self.slots.get(start.wrapping_add(step) & mask))
    }

    #[cold]
    fn claim(&self, slot: &Slot, fingerprint: u64, what: u64, exposed: Exposed<'_>, now: Timestamp) -> Claimed {
        let len = self.len.fetch_add(1, Ordering::Relaxed) + 1;
        if len > self.max.get() {
            self.len.fetch_sub(1, Ordering::Relaxed);
            return Claimed::Yes(Counted::NoRoom);
        }
        match slot.fingerprint.compare_exchange(0, fingerprint, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {}
            Err(found) => {
                self.len.fetch_sub(1, Ordering::Relaxed);
                if found != fingerprint {
                    return Claimed::ByAnother;
                }
                slot.count.fetch_add(1, Ordering::Relaxed);
                return Claimed::Yes(Counted::Yes);
            }
        }
        // Nobody reads these before having the table alone.
        slot.what.store(what, Ordering::Relaxed);
        slot.unit.store(exposed.unit.map_or(0, |UnitHash(hash)| hash), Ordering::Relaxed);
        slot.bucket.store(exposed.bucket.unwrap_or(NO_BUCKET), Ordering::Relaxed);
        slot.at.store(now.0, Ordering::Relaxed);
        slot.count.fetch_add(1, Ordering::Relaxed);
        if !self.names.contains_key(&(what & !1)) {
            self.names.insert(what & !1, exposed.name());
        }
        Claimed::Yes(if len == self.max.get().div_ceil(2) { Counted::HalfFull } else { Counted::Yes })
    }

    /// Takes everything, in no order, and leaves the table empty.
    pub fn drain(&mut self) -> Vec<Exposure> {
        let mut exposures = Vec::with_capacity(*self.len.get_mut());
        for slot in &mut self.slots {
            if *slot.fingerprint.get_mut() != 0 {
                let slot = std::mem::take(slot);
                let what = slot.what.into_inner();
                if let Some(name) = self.names.get(&(what & !1)) {
                    exposures.push(Exposure {
                        flag: name.flag.clone(),
                        variant: name.variant.clone(),
                        version: name.version,
                        unit: (what & 1 == 1).then_some(UnitHash(slot.unit.into_inner())),
                        bucket: Some(slot.bucket.into_inner()).filter(|bucket| *bucket != NO_BUCKET),
                        rule: name.rule.clone(),
                        count: slot.count.into_inner(),
                        at: slot.at.into_inner(),
                    });
                }
            }
        }
        self.names.clear();
        *self.len.get_mut() = 0;
        exposures
    }
}

enum Claimed {
    Yes(Counted),
    ByAnother,
}

impl Exposed<'_> {
    /// Stands for all but which unit it is; the lowest bit says whether there is one, the others name the rest.
    #[inline]
    fn what(&self) -> u64 {
        let variant = self.variant.map_or(0, |variant| xxh3_64(variant.as_bytes()));
        // Within a version of the flag, its place stands for the rule.
        let rule = self.rule.map_or(0, |(idx, _)| idx as u64 + 1);
        let name = mix(mix(xxh3_64(self.flag.as_bytes()), variant), self.version ^ rule.rotate_right(16));
        (name & !1) | u64::from(self.unit.is_some())
    }

    fn name(&self) -> Name {
        Name {
            flag: self.flag.to_owned(),
            version: self.version,
            variant: self.variant.map(str::to_owned),
            rule: self.rule.map(|(_, id)| id.to_owned()).filter(|id| !id.is_empty()),
        }
    }
}

/// Folded multiplication (Wang Yi, wyhash). The constants are odd and have as many ones as zeros.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(max: usize) -> Table {
        Table::new(NonZeroUsize::new(max).unwrap())
    }

    fn exposed(variant: Option<&str>, unit: Option<u64>) -> Exposed<'_> {
        Exposed { flag: "checkout", version: 4, variant, rule: None, unit: unit.map(UnitHash), bucket: None }
    }

    #[test]
    fn equal_exposures_are_counted_and_different_ones_told_apart() {
        let mut table = table(100);
        let different = [
            exposed(Some("on"), Some(1)),
            exposed(Some("on"), Some(0)),
            exposed(Some("on"), None),
            exposed(Some("off"), Some(1)),
            exposed(None, Some(1)),
            Exposed { version: 5, ..exposed(Some("on"), Some(1)) },
            Exposed { flag: "another", ..exposed(Some("on"), Some(1)) },
            Exposed { rule: Some((0, "")), ..exposed(Some("on"), Some(1)) },
            Exposed { rule: Some((1, "beta")), ..exposed(Some("on"), Some(1)) },
        ];
        for (times, exposed) in different.into_iter().enumerate() {
            for _ in 0..=times {
                table.count(exposed, Timestamp(17));
            }
        }
        let mut counts: Vec<_> = table.drain().iter().map(|exposure| exposure.count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9]);

        // Emptied, it begins anew.
        assert!(table.is_empty());
        table.count(Exposed { bucket: Some(7), rule: Some((2, "beta")), ..different[0] }, Timestamp(18));
        let expected = Exposure {
            flag: "checkout".to_owned(),
            variant: Some("on".to_owned()),
            version: 4,
            unit: Some(UnitHash(1)),
            bucket: Some(7),
            rule: Some("beta".to_owned()),
            count: 1,
            at: 18,
        };
        assert_eq!(table.drain(), [expected]);
    }

    #[test]
    fn a_full_table_goes_on_counting_what_it_has() {
        let mut table = table(64);
        let mut told = Vec::new();
        for unit in 0..100 {
            told.push(table.count(exposed(Some("on"), Some(unit)), Timestamp(0)));
        }
        assert_eq!(told.iter().filter(|it| **it == Counted::NoRoom).count(), 36);
        assert_eq!(told.iter().position(|it| *it == Counted::HalfFull), Some(31));
        assert_eq!(table.count(exposed(Some("on"), Some(7)), Timestamp(0)), Counted::Yes);
        assert_eq!(table.count(exposed(Some("on"), Some(70)), Timestamp(0)), Counted::NoRoom);
        assert_eq!(table.drain().len(), 64);
    }
}
