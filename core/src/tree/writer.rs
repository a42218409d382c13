//! From values to text.

use std::{fmt::Write as _, sync::Arc};

use serde_json::Value as Json;

use super::number;

/// What can be written as JSON.
pub trait Write {
    /// Appends its text.
    fn write(&self, out: &mut String);
}

/// A value's text: compact, without line breaks.
pub fn text(value: &dyn Write) -> String {
    let mut out = String::new();
    value.write(&mut out);
    out
}

/// Writes an object, member by member.
#[must_use = "an object needs its end"]
pub struct Members<'o> {
    out: &'o mut String,
    is_first: bool,
}

impl<'o> Members<'o> {
    /// Begins an object.
    pub fn of(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, is_first: true }
    }

    /// Begins an object whose member `type` says what it is.
    pub fn typed(out: &'o mut String, kind: &str) -> Self {
        Self::of(out).with("type", &kind)
    }

    /// One more member.
    pub fn with(mut self, name: &str, value: &dyn Write) -> Self {
        if !self.is_first {
            self.out.push(',');
        }
        self.is_first = false;
        name.write(self.out);
        self.out.push(':');
        value.write(self.out);
        self
    }

    /// One more member, if there is one.
    pub fn with_some<T: Write>(self, name: &str, value: Option<&T>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push('}');
    }
}

/// Writes a list.
pub fn list<'v>(out: &mut String, items: impl Iterator<Item = &'v dyn Write>) {
    out.push('[');
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(',');
        }
        item.write(out);
    }
    out.push(']');
}

impl Write for str {
    fn write(&self, out: &mut String) {
        out.push('"');
        let mut rest = self;
        while let Some((plain, next)) = rest
            .bytes()
            .position(|byte| byte < b' ' || byte == b'"' || byte == b'\\')
            .and_then(|end| rest.split_at_checked(end))
        {
            out.push_str(plain);
            let mut characters = next.chars();
            match characters.next() {
                Some('\n') => out.push_str("\\n"),
                Some('\r') => out.push_str("\\r"),
                Some('\t') => out.push_str("\\t"),
                Some(plain @ ('"' | '\\')) => out.extend(['\\', plain]),
                // Writing to a string cannot fail.
                Some(control) => drop(write!(out, "\\u{:04x}", u32::from(control))),
                None => {}
            }
            rest = characters.as_str();
        }
        out.push_str(rest);
        out.push('"');
    }
}

impl<T: Write + ?Sized> Write for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

impl Write for String {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }
}

impl Write for Arc<str> {
    fn write(&self, out: &mut String) {
        self.as_ref().write(out);
    }
}

impl Write for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl Write for u64 {
    fn write(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl Write for u32 {
    fn write(&self, out: &mut String) {
        u64::from(*self).write(out);
    }
}

impl Write for i64 {
    fn write(&self, out: &mut String) {
        out.push_str(if *self < 0 { "-" } else { "" });
        self.unsigned_abs().write(out);
    }
}

/// What is not finite is null.
impl Write for f64 {
    fn write(&self, out: &mut String) {
        if self.is_finite() {
            number::write(*self, out);
        } else {
            out.push_str("null");
        }
    }
}

impl<T: Write> Write for [T] {
    fn write(&self, out: &mut String) {
        list(out, self.iter().map(|item| item as &dyn Write));
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

impl Write for Json {
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => value.write(out),
            Self::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => number.write(out),
                (_, Some(number)) => number.write(out),
                (None, None) => number.as_f64().unwrap_or(f64::NAN).write(out),
            },
            Self::String(text) => text.write(out),
            Self::Array(items) => items.write(out),
            Self::Object(members) => {
                members.iter().fold(Members::of(out), |object, (name, value)| object.with(name, value)).end();
            }
        }
    }
}
