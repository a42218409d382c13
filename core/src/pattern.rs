//! Regular expressions: is there a match anywhere in a text?
//!
//! Syntax and meaning are those of the crate `regex-lite`, to which the tests hold this engine. That is all that conditions
//! ask: not where a match is, which of several, or what its groups hold. So a pattern becomes a program of six kinds of
//! steps, and matching keeps the set of steps that may come next, character by character (K. Thompson, "Regular Expression
//! Search Algorithm", CACM 11(6), 1968). It takes at most text × steps, whatever the pattern, and allocates nothing.
//!
//! The crate was a sixth of the JavaScript SDK for what is not used here; and its limit on the size of a pattern counts
//! bytes of memory, of which a 64-bit server needs more than WASM does: they did not accept the same patterns.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use self::parse::Refusal;
use crate::{limits, text::Case};

/// A regular expression, ready to be matched.
pub(crate) struct Pattern {
    /// As it was written.
    text: Box<str>,
    steps: Box<[Step]>,
    sets: Box<[Set]>,
    /// It begins with `^` or `\A`: a match begins where the text does.
    is_anchored: bool,
}

/// A step takes one character, or none and then goes on at once. Other steps are named by how far away they are: so steps
/// can be moved and copied together.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// Takes this character.
    Char(char),
    /// Takes a character of the set with this index.
    OneOf(u16),
    /// Goes on where this holds.
    Look(Look),
    /// Goes on with the next step, and with this one, too.
    Either(i16),
    /// Goes on with this step.
    Jump(i16),
    /// Everything was found.
    Match,
}

/// What a place between two characters can be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    Start,
    End,
    /// After a line feed, or the start.
    LineStart,
    /// Before a line feed, or the end.
    LineEnd,
    /// As [`LineStart`](Self::LineStart), where `\r\n`, `\r` and `\n` each end a line.
    CrlfLineStart,
    CrlfLineEnd,
    WordBoundary,
    NoWordBoundary,
    WordStart,
    WordEnd,
    /// No word character comes before.
    WordStartHalf,
    /// No word character comes after.
    WordEndHalf,
}

/// A set of characters.
#[derive(Default)]
struct Set {
    /// A bit for each ASCII character.
    ascii: [u32; 4],
    /// First and last of the others; they may overlap.
    wide: Vec<(char, char)>,
    /// It is all but these.
    is_negated: bool,
}

/// A set of steps, of which the first can be taken out. Most patterns have room in a single word.
struct Steps<const N: usize> {
    words: [u64; N],
    /// Words before this one, and from the other one on, are 0.
    first: usize,
    end: usize,
}

const N_WORDS: usize = limits::PATTERN_STEPS.div_ceil(64);

impl Pattern {
    /// Reads a pattern of at most [`limits::PATTERN_BYTES`].
    ///
    /// # Errors
    /// Says what is not understood, and where; and that it is larger than [`limits::PATTERN_STEPS`].
    pub(crate) fn new(text: &str, case: Case) -> Result<Self, Refusal> {
        let (steps, sets) = parse::parse(text, case)?;
        let is_anchored = steps.first() == Some(&Step::Look(Look::Start));
        Ok(Self { text: text.into(), steps: steps.into(), sets: sets.into(), is_anchored })
    }

    /// Whether there is a match anywhere in `text`. O(characters × steps).
    pub(crate) fn is_match(&self, text: &str) -> bool {
        if self.steps.len() <= 64 { self.run::<1>(text) } else { self.run::<N_WORDS>(text) }
    }

    fn run<const N: usize>(&self, text: &str) -> bool {
        let (mut now, mut next) = (Steps::<N>::new(), Steps::<N>::new());
        now.insert(0);
        let mut before = None;
        let mut characters = text.chars();
        loop {
            let after = characters.next();
            let mut seen = [0_u64; N];
            while let Some(place) = now.pop() {
                let (Some(word), bit) = (seen.get_mut(place / 64), 1 << (place % 64)) else { break };
                if *word & bit != 0 {
                    continue;
                }
                *word |= bit;
                match self.steps.get(place) {
                    Some(Step::Char(character)) if after == Some(*character) => next.insert(place + 1),
                    Some(Step::OneOf(set)) if after.is_some_and(|after| self.is_in(after, *set)) => {
                        next.insert(place + 1);
                    }
                    Some(Step::Look(look)) if look.holds(before, after) => now.insert(place + 1),
                    Some(Step::Either(by)) => {
                        now.insert(place + 1);
                        now.insert(place.wrapping_add_signed(isize::from(*by)));
                    }
                    Some(Step::Jump(by)) => now.insert(place.wrapping_add_signed(isize::from(*by))),
                    Some(Step::Match) => return true,
                    _ => {}
                }
            }
            if !self.is_anchored {
                next.insert(0);
            }
            if after.is_none() || next.end == 0 {
                return false;
            }
            before = after;
            std::mem::swap(&mut now, &mut next);
        }
    }

    fn is_in(&self, character: char, set: u16) -> bool {
        self.sets.get(usize::from(set)).is_some_and(|set| set.contains(character))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl<const N: usize> Steps<N> {
    fn new() -> Self {
        Self { words: [0; N], first: N, end: 0 }
    }

    fn insert(&mut self, step: usize) {
        let index = step / 64;
        if let Some(word) = self.words.get_mut(index) {
            *word |= 1 << (step % 64);
            self.first = self.first.min(index);
            self.end = self.end.max(index + 1);
        }
    }

    /// The first step, which is not in the set any more.
    fn pop(&mut self) -> Option<usize> {
        while self.first < self.end {
            match self.words.get_mut(self.first) {
                Some(word) if *word != 0 => {
                    let bit = word.trailing_zeros();
                    *word &= *word - 1;
                    return Some(self.first * 64 + bit as usize);
                }
                _ => self.first += 1,
            }
        }
        (self.first, self.end) = (N, 0);
        None
    }
}

impl Set {
    fn contains(&self, character: char) -> bool {
        let code = character as usize;
        let is_listed = match self.ascii.get(code / 32) {
            Some(bits) => bits >> (code % 32) & 1 == 1,
            None => self.wide.iter().any(|(first, last)| (*first..=*last).contains(&character)),
        };
        is_listed != self.is_negated
    }
}

impl Look {
    /// Whether it holds between these characters. Words and lines are of ASCII.
    fn holds(self, before: Option<char>, after: Option<char>) -> bool {
        let is_word = |character: Option<char>| character.is_some_and(|it| it.is_ascii_alphanumeric() || it == '_');
        match self {
            Self::Start => before.is_none(),
            Self::End => after.is_none(),
            Self::LineStart => matches!(before, None | Some('\n')),
            Self::LineEnd => matches!(after, None | Some('\n')),
            // Not between `\r` and `\n`.
            Self::CrlfLineStart => matches!(before, None | Some('\n')) || before == Some('\r') && after != Some('\n'),
            Self::CrlfLineEnd => matches!(after, None | Some('\r')) || after == Some('\n') && before != Some('\r'),
            Self::WordBoundary => is_word(before) != is_word(after),
            Self::NoWordBoundary => is_word(before) == is_word(after),
            Self::WordStart => !is_word(before) && is_word(after),
            Self::WordEnd => is_word(before) && !is_word(after),
            Self::WordStartHalf => !is_word(before),
            Self::WordEndHalf => !is_word(after),
        }
    }
}
