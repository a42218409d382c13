//! From text to [`Tree`]: RFC 8259, as `serde_json` takes it.
//!
//! By hand, because what a text borrows, and where a member begins and ends, is known here, and because the library's way
//! to tell what it found instead brings half of the standard library's formatting along.

use std::borrow::Cow;

use super::{ReadError, Tree, number};

/// How deep lists and objects nest: reading recurses.
const MAX_DEPTH: usize = 127;

pub(super) struct Parser<'t> {
    text: &'t str,
    /// The next byte: always at the border of a character.
    at: usize,
    /// The name of members that are kept as text.
    raw: Option<&'static str>,
}

impl<'t> Parser<'t> {
    pub fn new(text: &'t str, raw: Option<&'static str>) -> Self {
        Self { text, at: 0, raw }
    }

    /// The whole text as one value.
    pub fn whole(mut self) -> Result<Tree<'t>, ReadError> {
        let tree = self.value(0)?;
        match self.peek() {
            None => Ok(tree),
            Some(_) => Err(self.error("more after the end")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Tree<'t>, ReadError> {
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(self.error("what nests too deep")),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Tree::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.takes("null") => Ok(Tree::Null),
            _ if self.takes("true") => Ok(Tree::Bool(true)),
            _ if self.takes("false") => Ok(Tree::Bool(false)),
            _ => Err(self.error("no value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Tree<'t>, ReadError> {
        let mut members = Vec::new();
        self.at += 1;
        while self.goes_on(b'}', members.is_empty())? {
            let name = match self.peek() {
                Some(b'"') => self.string()?,
                _ => return Err(self.error("no name of a member")),
            };
            if self.peek() != Some(b':') {
                return Err(self.error("no `:`"));
            }
            self.at += 1;
            let value = if self.raw == Some(name.as_ref()) { self.skipped()? } else { self.value(depth + 1)? };
            members.push((name, value));
        }
        Ok(Tree::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<Tree<'t>, ReadError> {
        let mut items = Vec::new();
        self.at += 1;
        while self.goes_on(b']', items.is_empty())? {
            items.push(self.value(depth + 1)?);
        }
        Ok(Tree::List(items))
    }

    /// Whether another item comes; takes the comma before it, or the end.
    fn goes_on(&mut self, end: u8, is_first: bool) -> Result<bool, ReadError> {
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.error("no `,` and no end")),
        }
    }

    /// A value as its text. Whether it is one, beyond the balance of its brackets, whoever reads it finds out.
    fn skipped(&mut self) -> Result<Tree<'t>, ReadError> {
        let mut depth = 0_usize;
        self.peek();
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'"') => drop(self.string()?),
                Some(b'-' | b'0'..=b'9' | b'a'..=b'z') => self.take_word(),
                _ => return Err(self.error("no value")),
            }
            if depth == 0 {
                return Ok(Tree::Raw(self.since(start)));
            }
        }
    }

    fn number(&mut self) -> Result<Tree<'t>, ReadError> {
        let start = self.at;
        self.take_word();
        number::read(self.since(start)).map(Tree::Number).ok_or_else(|| self.error("no number that can be held"))
    }

    /// What may be a number or the name of a value.
    fn take_word(&mut self) {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    }

    /// A string; the next byte is its quote.
    fn string(&mut self) -> Result<Cow<'t, str>, ReadError> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let start = self.at;
            self.take_while(|byte| byte != b'"' && byte != b'\\' && byte >= b' ');
            let plain = self.since(start);
            let next = self.next();
            match (next, &mut unescaped) {
                (Some(b'"'), None) => return Ok(Cow::Borrowed(plain)),
                (Some(b'"'), Some(text)) => {
                    text.push_str(plain);
                    return Ok(Cow::Owned(std::mem::take(text)));
                }
                (Some(b'\\'), _) => {
                    let character = self.escaped().ok_or_else(|| self.error("no escape that is known"))?;
                    let text = unescaped.get_or_insert_default();
                    text.push_str(plain);
                    text.push(character);
                }
                _ => return Err(self.error("a string without an end")),
            }
        }
    }

    /// The character that an escape stands for; the backslash is behind.
    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            plain @ (b'"' | b'\\' | b'/') => char::from(plain),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.unit()? {
                // A pair of surrogates: Unicode 3.9, D91.
                high @ 0xd800..0xdc00 if self.takes("\\u") => match self.unit()? {
                    low @ 0xdc00..0xe000 => char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))?,
                    _ => return None,
                },
                unit => char::from_u32(unit)?,
            },
            _ => return None,
        })
    }

    /// Four hex digits.
    fn unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit << 4 | char::from(self.next()?).to_digit(16)?))
    }

    /// The next byte that is no white space; that is skipped.
    fn peek(&mut self) -> Option<u8> {
        self.take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes a byte of ASCII; others are in no place where one is taken.
    fn next(&mut self) -> Option<u8> {
        let byte = self.text.as_bytes().get(self.at).copied().filter(u8::is_ascii)?;
        self.at += 1;
        Some(byte)
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn take_while(&mut self, is_taken: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !is_taken(*byte)).unwrap_or(rest.len());
    }

    fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn error(&self, found: &str) -> ReadError {
        ReadError::new(format!("no JSON: {found} at byte {}", self.at))
    }
}
