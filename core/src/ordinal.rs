//! Small numbers that may be absent.

use std::num::NonZeroU32;

/// An index or a bucket: four bytes even in an `Option`, so that an outcome of three of them travels in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ordinal(NonZeroU32);

impl Ordinal {
    /// `None` for numbers that do not fit, of which there are none among indexes and buckets.
    #[inline]
    pub(crate) fn new(number: usize) -> Option<Self> {
        u32::try_from(number).ok().and_then(Self::of)
    }

    /// As [`new`](Self::new).
    #[inline]
    pub(crate) fn of(number: u32) -> Option<Self> {
        number.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    #[inline]
    pub(crate) fn get(self) -> u32 {
        self.0.get() - 1
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.get() as usize
    }
}
