//! Reads a pattern into steps, in one pass: what a repetition or an alternative is of, has just been written.

use std::{fmt, str::Chars};

use super::{Look, Set, Step};
use crate::{limits, text::Case};

/// Why a pattern cannot be used.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// How many characters were read by then.
    n_read: usize,
    why: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this regular expression cannot be used: {} (up to character {})", self.why, self.n_read)
    }
}

pub(super) fn parse(text: &str, case: Case) -> Result<(Vec<Step>, Vec<Set>), Refusal> {
    let mut parser = Parser {
        rest: text.chars(),
        flags: if case == Case::Ignored { IGNORE_CASE } else { 0 },
        names: Vec::new(),
        depth: 0,
        steps: Vec::new(),
        sets: Vec::new(),
        cost: 0,
    };
    match parser.pattern() {
        Ok(()) => Ok((parser.steps, parser.sets)),
        Err(why) => Err(Refusal { n_read: text.chars().count() - parser.rest.count(), why }),
    }
}

type Parsed<T> = Result<T, &'static str>;

struct Parser<'p> {
    rest: Chars<'p>,
    /// Of [`FLAGS`], those that are set here.
    flags: u8,
    /// Of groups.
    names: Vec<&'p str>,
    /// How many groups are open.
    depth: usize,
    steps: Vec<Step>,
    sets: Vec<Set>,
    /// What the steps cost together.
    cost: usize,
}

/// What can be set by `(?…)`, in the order of the bits. `U` prefers other matches, and is there a match or not; `u` is
/// understood as elsewhere, for patterns that say `(?-u)`.
const FLAGS: &str = "imsRxUu";
const IGNORE_CASE: u8 = 1;
const MULTI_LINE: u8 = 1 << 1;
const DOT_IS_ALL: u8 = 1 << 2;
const CRLF: u8 = 1 << 3;
const SPACED: u8 = 1 << 4;

/// How deep groups nest.
const NESTING: usize = 50;

const UNCLOSED_CLASS: &str = "a `[` is not closed";
pub(super) const UNKNOWN_FLAG: &str =
    "after `(?` come a name in `<>`, or some of the flags i, m, s, R, x, U and u, and `:` or `)`";
const BAD_COUNT: &str = "a counted repetition is `{3}`, `{3,}` or `{3,5}`";
const BAD_HEX: &str = "a character's number is written as `\\x41`, `\\u0041`, `\\U00000041` or `\\x{41}`";
const NO_SET_OPERATIONS: &str = "classes in classes, `&&`, `--` and `~~` are not supported";

/// What one character or escape sequence stands for.
#[derive(Clone, Copy)]
enum Atom {
    Char(char),
    /// The ASCII characters for which this holds, or all other characters.
    Class {
        has: fn(&u8) -> bool,
        is_negated: bool,
    },
    Look(Look),
}

impl<'p> Parser<'p> {
    fn pattern(&mut self) -> Parsed<()> {
        self.alternatives()?;
        if self.peek().is_some() {
            return Err("a `)` closes nothing");
        }
        self.emit(Step::Match)
    }

    /// Reads until the end or a `)`.
    fn alternatives(&mut self) -> Parsed<()> {
        let mut jumps = Vec::new();
        let mut branch = self.steps.len();
        // Where the steps begin of what a repetition would be of.
        let mut item = None;
        loop {
            self.skip_space();
            let here = self.steps.len();
            match self.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.next();
                    self.spend(1)?;
                    self.steps.insert(branch, Step::Either(distance(branch, here + 2)));
                    jumps.push(self.steps.len());
                    self.emit(Step::Jump(0))?;
                    branch = self.steps.len();
                    item = None;
                }
                Some('(') => {
                    if self.group()? {
                        item = Some(here);
                    }
                }
                Some('[') => {
                    self.class()?;
                    item = Some(here);
                }
                Some('?' | '*' | '+' | '{') => {
                    self.repetition(item.ok_or("there is nothing to repeat before a repetition")?)?;
                }
                Some(_) => {
                    self.single()?;
                    item = Some(here);
                }
            }
        }
        let end = self.steps.len();
        for jump in jumps {
            if let Some(step) = self.steps.get_mut(jump) {
                *step = Step::Jump(distance(jump, end));
            }
        }
        Ok(())
    }

    /// A group, or flags: then there is nothing to repeat.
    fn group(&mut self) -> Parsed<bool> {
        self.next();
        self.skip_space();
        let outside = self.flags;
        if ["?=", "?!", "?<=", "?<!"].iter().any(|start| self.rest.as_str().starts_with(start)) {
            return Err("look-around is not supported");
        }
        if self.take("?P<") || self.take("?<") {
            self.name()?;
        } else if self.take("?") && self.flags()? {
            return Ok(false);
        }
        if self.depth == NESTING {
            return Err("its groups nest too deep");
        }
        self.depth += 1;
        self.alternatives()?;
        self.depth -= 1;
        if self.next().is_none() {
            return Err("a `(` is not closed");
        }
        self.flags = outside;
        Ok(true)
    }

    fn name(&mut self) -> Parsed<()> {
        let (name, rest) = self.rest.as_str().split_once('>').ok_or("the name of a group ends with `>`")?;
        let may_begin = |character: char| character == '_' || character.is_ascii_alphabetic() || !character.is_ascii();
        let may_follow = |character: char| may_begin(character) || matches!(character, '.' | '[' | ']' | '0'..='9');
        if !name.starts_with(may_begin) || !name.chars().all(may_follow) {
            return Err("the name of a group begins with a letter or `_`; digits, `.`, `[` and `]` may follow");
        }
        if self.names.contains(&name) {
            return Err("two groups have the same name");
        }
        self.names.push(name);
        self.rest = rest.chars();
        Ok(())
    }

    /// Flags after `(?`, and whether they were all of it: `(?i)`, not `(?i:`.
    fn flags(&mut self) -> Parsed<bool> {
        let (mut seen, mut is_on, mut is_complete) = (0, true, true);
        let mut first = true;
        loop {
            match self.next() {
                Some(':') if is_complete => return Ok(false),
                Some(')') if is_complete && !first => return Ok(true),
                Some('-') if is_on => (is_on, is_complete) = (false, false),
                Some(flag) => {
                    let bit = 1 << FLAGS.find(flag).ok_or(UNKNOWN_FLAG)?;
                    if seen & bit != 0 {
                        return Err(UNKNOWN_FLAG);
                    }
                    seen |= bit;
                    self.flags = if is_on { self.flags | bit } else { self.flags & !bit };
                    is_complete = true;
                }
                None => return Err(UNKNOWN_FLAG),
            }
            first = false;
        }
    }

    /// A repetition of the steps that begin there.
    fn repetition(&mut self, from: usize) -> Parsed<()> {
        let (min, max) = match self.next() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            _ => self.counts()?,
        };
        // Which match is preferred makes no difference.
        self.take("?");
        let body = self.steps.split_off(from);
        self.cost -= body.iter().map(|step| self.cost_of(*step)).sum::<usize>();
        if body.is_empty() {
            return Ok(());
        }
        let n_steps = body.len();
        for _ in 0..min {
            self.emit_all(&body)?;
        }
        match max {
            None if min == 0 => {
                self.emit(Step::Either(distance(0, n_steps + 2)))?;
                self.emit_all(&body)?;
                self.emit(Step::Jump(distance(n_steps + 1, 0)))?;
            }
            None => self.emit(Step::Either(distance(n_steps, 0)))?,
            Some(max) => {
                for n_left in (1..=max.saturating_sub(min)).rev() {
                    // One that is too far away to be written down is too large in any case.
                    self.emit(Step::Either(distance(0, (n_steps + 1).saturating_mul(n_left))))?;
                    self.emit_all(&body)?;
                }
            }
        }
        Ok(())
    }

    /// What comes after a `{`.
    fn counts(&mut self) -> Parsed<(usize, Option<usize>)> {
        self.skip_space();
        let min = self.count()?;
        let mut max = Some(min);
        if self.take(",") {
            self.skip_space();
            max = if self.peek() == Some('}') { None } else { Some(self.count()?) };
        }
        if self.next() != Some('}') || max.is_some_and(|max| max < min) {
            return Err(BAD_COUNT);
        }
        self.skip_space();
        Ok((min, max))
    }

    fn count(&mut self) -> Parsed<usize> {
        self.skip_while(char::is_whitespace);
        // Not `usize`, whose end is another in WASM.
        let (mut count, mut n_digits) = (0_u32, 0);
        while let Some(digit) = self.peek().and_then(|character| character.to_digit(10)) {
            self.next();
            self.skip_space();
            count = count.saturating_mul(10).saturating_add(digit);
            n_digits += 1;
        }
        self.skip_while(char::is_whitespace);
        if n_digits == 0 { Err(BAD_COUNT) } else { Ok(count as usize) }
    }

    /// One character, escape sequence, `.`, `^` or `$`.
    fn single(&mut self) -> Parsed<()> {
        let atom = match self.peek() {
            Some('.') => {
                self.next();
                let mut none = Set { is_negated: true, ..Set::default() };
                if !self.has(DOT_IS_ALL) {
                    none.add('\n', '\n');
                    if self.has(CRLF) {
                        none.add('\r', '\r');
                    }
                }
                return self.emit_set(none);
            }
            Some('^') if !self.has(MULTI_LINE) => Atom::Look(Look::Start),
            Some('^') if self.has(CRLF) => Atom::Look(Look::CrlfLineStart),
            Some('^') => Atom::Look(Look::LineStart),
            Some('$') if !self.has(MULTI_LINE) => Atom::Look(Look::End),
            Some('$') if self.has(CRLF) => Atom::Look(Look::CrlfLineEnd),
            Some('$') => Atom::Look(Look::LineEnd),
            _ => return self.atom().and_then(|atom| self.emit_atom(atom)),
        };
        self.next();
        self.emit_atom(atom)
    }

    /// One character or escape sequence.
    fn atom(&mut self) -> Parsed<Atom> {
        match self.next() {
            Some('\\') => self.escape(),
            Some(character) => Ok(Atom::Char(character)),
            None => Err(UNCLOSED_CLASS),
        }
    }

    /// What comes after a `\`.
    fn escape(&mut self) -> Parsed<Atom> {
        let character = self.next().ok_or("there is nothing after a `\\`")?;
        let class = |has| Ok(Atom::Class { has, is_negated: character.is_ascii_uppercase() });
        Ok(match character {
            'd' | 'D' => return class(u8::is_ascii_digit),
            's' | 'S' => return class(SPACE),
            'w' | 'W' => return class(WORD),
            'x' => Atom::Char(self.number(2)?),
            'u' => Atom::Char(self.number(4)?),
            'U' => Atom::Char(self.number(8)?),
            'a' => Atom::Char('\x07'),
            'f' => Atom::Char('\x0c'),
            't' => Atom::Char('\t'),
            'n' => Atom::Char('\n'),
            'r' => Atom::Char('\r'),
            'v' => Atom::Char('\x0b'),
            'A' => Atom::Look(Look::Start),
            'z' => Atom::Look(Look::End),
            'b' => Atom::Look(self.boundary()?),
            'B' => Atom::Look(Look::NoWordBoundary),
            '<' => Atom::Look(Look::WordStart),
            '>' => Atom::Look(Look::WordEnd),
            '0'..='9' => return Err("back-references are not supported"),
            'p' | 'P' => {
                return Err(
                    "Unicode classes like `\\p{L}` are not supported: their tables would multiply the size of the \
                            browser SDK; write the characters or ranges out",
                );
            }
            _ if character.is_ascii() && !character.is_ascii_alphanumeric() => Atom::Char(character),
            _ => return Err("nothing is known by this name after a `\\`"),
        })
    }

    /// What comes after `\b`: nothing, or which boundary it is. What else is in braces is a repetition.
    fn boundary(&mut self) -> Parsed<Look> {
        let start = self.rest.clone();
        if !self.take("{") {
            return Ok(Look::WordBoundary);
        }
        let mut name = String::new();
        loop {
            self.skip_space();
            match self.next() {
                Some(character @ ('a'..='z' | 'A'..='Z' | '-')) => name.push(character),
                Some('}') if !name.is_empty() => break,
                Some(_) if name.is_empty() => {
                    self.rest = start;
                    return Ok(Look::WordBoundary);
                }
                _ => return Err("a `\\b{` is not closed"),
            }
        }
        match name.as_str() {
            "start" => Ok(Look::WordStart),
            "end" => Ok(Look::WordEnd),
            "start-half" => Ok(Look::WordStartHalf),
            "end-half" => Ok(Look::WordEndHalf),
            _ => Err("in `\\b{…}` there is start, end, start-half or end-half"),
        }
    }

    /// A character by its number of so many hexadecimal digits, or of any number of digits in braces.
    fn number(&mut self, n_digits: usize) -> Parsed<char> {
        self.skip_space();
        let is_braced = self.take("{");
        let (mut code, mut n_read) = (0_u32, 0);
        while is_braced || n_read < n_digits {
            self.skip_space();
            let character = self.next().ok_or(BAD_HEX)?;
            if is_braced && n_read > 0 && character == '}' {
                break;
            }
            let digit = character.to_digit(16).ok_or(BAD_HEX)?;
            code = code.checked_mul(16).ok_or(BAD_HEX)? + digit;
            n_read += 1;
        }
        char::from_u32(code).ok_or(BAD_HEX)
    }

    /// A class in brackets.
    fn class(&mut self) -> Parsed<()> {
        self.next();
        self.skip_space();
        let mut set = Set::default();
        let is_negated = self.take("^");
        self.skip_space();
        let mut is_first = true;
        while self.take("-") {
            set.add('-', '-');
            self.skip_space();
            is_first = false;
        }
        if is_first && self.take("]") {
            set.add(']', ']');
        }
        loop {
            self.skip_space();
            let rest = self.rest.as_str();
            match self.peek().ok_or(UNCLOSED_CLASS)? {
                ']' => break,
                '[' => {
                    let Some((class, rest)) = posix(rest) else { return Err(NO_SET_OPERATIONS) };
                    self.rest = rest.chars();
                    set.add_class(class);
                }
                '&' | '-' | '~' if ["&&", "--", "~~"].iter().any(|operator| rest.starts_with(operator)) => {
                    return Err(NO_SET_OPERATIONS);
                }
                _ => self.range(&mut set)?,
            }
        }
        self.next();
        if self.has(IGNORE_CASE) {
            set.fold();
        }
        set.is_negated = is_negated;
        self.emit_set(set)
    }

    /// A character of a class, from one to another, or an escaped class.
    fn range(&mut self, set: &mut Set) -> Parsed<()> {
        let first = self.atom()?;
        self.skip_space();
        let dash = self.rest.clone();
        if self.take("-") {
            self.skip_space();
            if !matches!(self.peek(), Some(']' | '-')) {
                let last = self.atom()?;
                return match (first, last) {
                    (Atom::Char(first), Atom::Char(last)) if first <= last => {
                        set.add(first, last);
                        Ok(())
                    }
                    _ => Err("a range is from one character to the same or a later one"),
                };
            }
            self.rest = dash;
        }
        match first {
            Atom::Char(character) => set.add(character, character),
            Atom::Class { .. } => set.add_class(first),
            Atom::Look(_) => return Err("a class is of characters, not of places like `\\b`"),
        }
        Ok(())
    }

    fn emit_atom(&mut self, atom: Atom) -> Parsed<()> {
        let mut set = Set::default();
        match atom {
            Atom::Look(look) => return self.emit(Step::Look(look)),
            Atom::Char(character) if self.has(IGNORE_CASE) && character.is_ascii_alphabetic() => {
                set.add(character, character);
                set.fold();
            }
            Atom::Char(character) => return self.emit(Step::Char(character)),
            Atom::Class { .. } => set.add_class(atom),
        }
        self.emit_set(set)
    }

    fn emit_set(&mut self, set: Set) -> Parsed<()> {
        // There are fewer than bytes in the pattern.
        let index = u16::try_from(self.sets.len()).unwrap_or(u16::MAX);
        self.sets.push(set);
        self.emit(Step::OneOf(index))
    }

    fn emit_all(&mut self, steps: &[Step]) -> Parsed<()> {
        steps.iter().try_for_each(|step| self.emit(*step))
    }

    fn emit(&mut self, step: Step) -> Parsed<()> {
        self.spend(self.cost_of(step))?;
        self.steps.push(step);
        Ok(())
    }

    fn spend(&mut self, cost: usize) -> Parsed<()> {
        self.cost += cost;
        if self.cost > limits::PATTERN_STEPS { Err("its repetitions make it too large") } else { Ok(()) }
    }

    /// What taking a step costs: ranges of a set are tried one after the other.
    fn cost_of(&self, step: Step) -> usize {
        match step {
            Step::OneOf(set) => 1 + self.sets.get(usize::from(set)).map_or(0, |set| set.wide.len() / 4),
            _ => 1,
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        self.rest.next()
    }

    fn take(&mut self, start: &str) -> bool {
        let rest: Option<&'p str> = self.rest.as_str().strip_prefix(start);
        if let Some(rest) = rest {
            self.rest = rest.chars();
        }
        rest.is_some()
    }

    fn skip_while(&mut self, skipped: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&skipped) {
            self.next();
        }
    }

    /// With the flag `x`, white space and comments are nothing.
    fn skip_space(&mut self) {
        while self.has(SPACED) {
            self.skip_while(char::is_whitespace);
            if !self.take("#") {
                break;
            }
            self.skip_while(|character| character != '\n');
        }
    }
}

/// From one step to another.
fn distance(from: usize, to: usize) -> i16 {
    let distance = to.cast_signed().wrapping_sub(from.cast_signed());
    // There are not so many steps.
    i16::try_from(distance).unwrap_or(i16::MAX)
}

/// A class like `[:alpha:]` or `[:^alpha:]`, and what comes after it.
fn posix(text: &str) -> Option<(Atom, &str)> {
    let text = text.strip_prefix("[:")?;
    let negated = text.strip_prefix('^');
    let (name, rest) = negated.unwrap_or(text).split_once(':')?;
    let has: fn(&u8) -> bool = match name {
        "alnum" => u8::is_ascii_alphanumeric,
        "alpha" => u8::is_ascii_alphabetic,
        "ascii" => u8::is_ascii,
        "blank" => |byte| matches!(byte, b'\t' | b' '),
        "cntrl" => u8::is_ascii_control,
        "digit" => u8::is_ascii_digit,
        "graph" => u8::is_ascii_graphic,
        "lower" => u8::is_ascii_lowercase,
        "print" => |byte| matches!(byte, b' '..=b'~'),
        "punct" => u8::is_ascii_punctuation,
        "space" => SPACE,
        "upper" => u8::is_ascii_uppercase,
        "word" => WORD,
        "xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    Some((Atom::Class { has, is_negated: negated.is_some() }, rest.strip_prefix(']')?))
}

/// With the vertical tab, which the standard library leaves out.
const SPACE: fn(&u8) -> bool = |byte| matches!(byte, b'\t'..=b'\r' | b' ');

const WORD: fn(&u8) -> bool = |byte| byte.is_ascii_alphanumeric() || *byte == b'_';

impl Set {
    fn add(&mut self, first: char, last: char) {
        for code in u32::from(first)..=u32::from(last).min(127) {
            if let Some(bits) = self.ascii.get_mut(code as usize / 32) {
                *bits |= 1 << (code % 32);
            }
        }
        if !last.is_ascii() {
            self.wide.push((first, last));
        }
    }

    fn add_class(&mut self, class: Atom) {
        let Atom::Class { has, is_negated } = class else { return };
        for byte in 0..128_u8 {
            if has(&byte) != is_negated {
                self.add(byte.into(), byte.into());
            }
        }
        if is_negated {
            self.add('\u{80}', char::MAX);
        }
    }

    /// Adds the other case of its ASCII letters.
    fn fold(&mut self) {
        for letter in 'A'..='Z' {
            let small = letter.to_ascii_lowercase();
            if self.contains(letter) || self.contains(small) {
                self.add(letter, letter);
                self.add(small, small);
            }
        }
    }
}
