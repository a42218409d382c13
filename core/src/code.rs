//! Short texts as numbers: what is looked up among a few is compared with each in two instructions.

use crate::bucket;

/// A text as two numbers. A text of up to 15 bytes *is* its code: its bytes, then zeros, then its length. A longer one
/// has a hash instead, and equal codes do not make equal texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TextCode {
    /// Bytes 0 to 7.
    head: u64,
    /// Bytes 8 to 14, and in the highest byte the length, or [`LONG`].
    tail: u64,
}

/// What stands in place of the length of a long text.
const LONG: u64 = 0xff << 56;

impl TextCode {
    #[inline]
    pub(crate) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let len = bytes.len();
        if len > 15 {
            return Self { head: bucket::hash(text), tail: LONG };
        }
        // Two loads that overlap take every byte; of the second, those that the first has taken are shifted out.
        let (head, tail) = if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last) >> 8 >> (8 * (15 - len)))
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            let last = u64::from(u32::from_le_bytes(*last)) >> (8 * (8 - len));
            (u64::from(u32::from_le_bytes(*first)) | last << 32, 0)
        } else {
            (bytes.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)), 0)
        };
        Self { head, tail: tail | (len as u64) << 56 }
    }

    /// Finds `text`, whose code this is, among `entries`, whose codes are `codes`.
    #[inline]
    pub(crate) fn find<'e, V>(self, text: &str, codes: &[Self], entries: &'e [(Box<str>, V)]) -> Option<&'e V> {
        let place = codes.iter().position(|code| *code == self)?;
        let (candidate, value) = entries.get(place)?;
        if self.tail < LONG || **candidate == *text { Some(value) } else { find_long(text, entries) }
    }
}

/// Where two long texts have one hash.
#[cold]
fn find_long<'e, V>(text: &str, entries: &'e [(Box<str>, V)]) -> Option<&'e V> {
    entries.iter().find(|(candidate, _)| **candidate == *text).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_texts_are_their_codes() {
        let mut codes = HashSet::new();
        for len in 0..16_usize {
            let text = "abcdefghijklmno".get(..len).unwrap();
            let mut expected = [0; 16];
            expected[..len].copy_from_slice(text.as_bytes());
            expected[15] = u8::try_from(len).unwrap();
            let code = TextCode::new(text);
            assert_eq!([code.head.to_le_bytes(), code.tail.to_le_bytes()].concat(), expected, "{text}");
            assert!(codes.insert(code));
        }
        assert!(TextCode::new("abcdefghijklmnop").tail == LONG);
    }

    proptest! {
        #[test]
        fn a_text_is_found_where_it_is(texts in prop::collection::hash_set("[ab\0é]{0,20}", 0..20), text in "[ab\0é]{0,20}") {
            let texts: Vec<String> = texts.into_iter().collect();
            let codes: Vec<_> = texts.iter().map(|text| TextCode::new(text)).collect();
            let entries: Vec<(Box<str>, usize)> = texts.iter().map(|text| text.as_str().into()).zip(0..).collect();
            let find = |text: &str| TextCode::new(text).find(text, &codes, &entries).copied();
            for (place, text) in texts.iter().enumerate() {
                prop_assert_eq!(find(text), Some(place));
            }
            prop_assert_eq!(find(&text), texts.iter().position(|candidate| *candidate == text));
        }
    }
}
