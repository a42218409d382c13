//! JSON that was parsed and not yet read, what reads it, and what writes it.
//!
//! Configurations and messages are read by hand: derived readers, made anew for each type and each way to parse, were a
//! third of the JavaScript SDK. Here a text is parsed into a [`Tree`] once, and each type says in [`Read`] which of its
//! members it takes. What is wrong is named by its JSON Pointer.
//!
//! A type that is also to be read from elsewhere implements serde's `Deserialize` by [`deserialize`].
//!
//! Messages, and what SDKs write, implement [`Write`]: an object is written member by member. Configurations, which only the
//! server writes, derive serde's `Serialize`.

mod number;
mod parser;
mod writer;

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value as Json};

use self::parser::Parser;
pub use self::writer::{Members, Write, list, text};

/// A JSON value. Texts borrow from what was parsed, where they could.
#[derive(Clone, Debug)]
pub enum Tree<'t> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer or a finite double.
    Number(Number),
    /// A string.
    Text(Cow<'t, str>),
    /// An array.
    List(Vec<Tree<'t>>),
    /// An object: its members as they came, so that a name may come twice.
    Object(Vec<(Cow<'t, str>, Tree<'t>)>),
    /// What was not taken apart: see [`Tree::parse_but`].
    Raw(&'t str),
}

/// What can be read from a [`Tree`].
pub trait Read: Sized {
    /// Reads it. Members that the type does not know are ignored.
    ///
    /// # Errors
    /// [`ReadError`], where something has the wrong form or is missing.
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError>;
}

/// Why JSON could not be read, and where. Its text is `pointer: message`, or only the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(Box<Reason>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    pointer: String,
    message: String,
}

/// The members of an object, to be taken by their names.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'t>(&'t [(Cow<'t, str>, Tree<'t>)]);

/// Parses `text`, and reads it.
///
/// # Errors
/// [`ReadError`], where `text` is no JSON, too.
pub fn parse<T: Read>(text: &str) -> Result<T, ReadError> {
    T::read(&Tree::parse(text)?)
}

/// What a `Deserialize` that goes by [`Read`] does.
///
/// # Errors
/// Those of the deserializer, and [`ReadError`] as its custom error: [`ReadError::told`] takes it apart again.
pub fn deserialize<'de, T: Read, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(&Tree::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl<'t> Tree<'t> {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`ReadError`], where it is no JSON.
    pub fn parse(text: &'t str) -> Result<Self, ReadError> {
        Parser::new(text, None).whole()
    }

    /// Parses `text`, but for members that are called `raw`: they are kept as their exact text, which was not looked at
    /// beyond where it ends.
    ///
    /// # Errors
    /// [`ReadError`], where it is no JSON.
    pub fn parse_but(raw: &'static str, text: &'t str) -> Result<Self, ReadError> {
        Parser::new(text, Some(raw)).whole()
    }

    /// The members of an object.
    ///
    /// # Errors
    /// [`ReadError`] for anything else.
    pub fn fields(&self) -> Result<Fields<'_>, ReadError> {
        match self {
            Self::Object(members) => Ok(Fields(members)),
            _ => Err(self.is_no("an object")),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// [`ReadError`] for anything else.
    pub fn text(&self) -> Result<&str, ReadError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(self.is_no("a string")),
        }
    }

    /// Gives every item of a list to `read`, in turn.
    ///
    /// # Errors
    /// [`ReadError`] for anything else, and the first of `read`.
    pub fn each(&self, read: &mut dyn FnMut(&Self) -> Result<(), ReadError>) -> Result<(), ReadError> {
        let Self::List(items) = self else { return Err(self.is_no("a list")) };
        for (place, item) in items.iter().enumerate() {
            read(item).map_err(|error| error.within(&place.to_string()))?;
        }
        Ok(())
    }

    /// One of some names, as what it stands for.
    ///
    /// # Errors
    /// [`ReadError`] for any other name, and for what is none.
    pub fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, ReadError> {
        let text = self.text()?;
        match names.iter().find(|(name, _)| *name == text) {
            Some((_, found)) => Ok(*found),
            None => Err(unknown_name(text, &mut names.iter().map(|(name, _)| *name))),
        }
    }

    fn number<T>(&self, read: impl Fn(&Number) -> Option<T>, expected: &str) -> Result<T, ReadError> {
        match self {
            Self::Number(number) => read(number),
            _ => None,
        }
        .ok_or_else(|| self.is_no(expected))
    }

    fn is_no(&self, expected: &str) -> ReadError {
        let found = match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(number) => {
                return ReadError::new(format!("must be {expected}, not {}", text(&Json::from(number.clone()))));
            }
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Raw(_) => "what was not taken apart",
        };
        ReadError::new(format!("must be {expected}, not {found}"))
    }
}

fn unknown_name(found: &str, names: &mut dyn Iterator<Item = &str>) -> ReadError {
    let mut message = format!("there is no `{found}` here; there are");
    for (place, name) in names.enumerate() {
        message.push_str(if place == 0 { " `" } else { ", `" });
        message.push_str(name);
        message.push('`');
    }
    ReadError::new(message)
}

impl<'t> Fields<'t> {
    /// The member `name`, if there is one.
    ///
    /// # Errors
    /// [`ReadError`], where there are two.
    pub fn get(self, name: &str) -> Result<Option<&'t Tree<'t>>, ReadError> {
        let mut found = self.0.iter().filter(|(known, _)| known == name).map(|(_, tree)| tree);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(ReadError::new("is there twice").within(name)),
            (found, None) => Ok(found),
        }
    }

    /// All members, as they came.
    pub fn members(self) -> impl Iterator<Item = (&'t str, &'t Tree<'t>)> {
        self.0.iter().map(|(name, tree)| (name.as_ref(), tree))
    }

    /// The first member that has one of `names`, with its name.
    pub fn first_of(self, names: &[&str]) -> Option<(&'t str, &'t Tree<'t>)> {
        self.0.iter().find(|(name, _)| names.contains(&name.as_ref())).map(|(name, tree)| (name.as_ref(), tree))
    }

    /// The only member, with its name.
    pub fn only(self) -> Option<(&'t str, &'t Tree<'t>)> {
        match self.0 {
            [(name, tree)] => Some((name, tree)),
            _ => None,
        }
    }

    /// The member `name`.
    ///
    /// # Errors
    /// [`ReadError`], where there is none or it cannot be read.
    pub fn required<T: Read>(self, name: &'static str) -> Result<T, ReadError> {
        within(name, self.present(name)?)
    }

    fn present(self, name: &str) -> Result<&'t Tree<'t>, ReadError> {
        self.get(name)?.ok_or_else(|| ReadError::new(format!("missing field `{name}`")))
    }

    /// The member `name`; `None` where there is none or it is null.
    ///
    /// # Errors
    /// [`ReadError`], where it cannot be read.
    pub fn optional<T: Read>(self, name: &'static str) -> Result<Option<T>, ReadError> {
        match self.get(name)? {
            None | Some(Tree::Null) => Ok(None),
            Some(tree) => Ok(Some(within(name, tree)?)),
        }
    }

    /// The member `name`, or the default where there is none.
    ///
    /// # Errors
    /// [`ReadError`], where it cannot be read; null is no absence.
    pub fn or_default<T: Read + Default>(self, name: &'static str) -> Result<T, ReadError> {
        match self.get(name)? {
            None => Ok(T::default()),
            Some(tree) => within(name, tree),
        }
    }
}

/// Reads what lies at one step of a pointer.
///
/// # Errors
/// [`ReadError`], with the step before its pointer.
pub fn within<T: Read>(step: &str, tree: &Tree<'_>) -> Result<T, ReadError> {
    T::read(tree).map_err(|error| error.within(step))
}

impl ReadError {
    /// Something wrong with what is being read as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Reason { pointer: String::new(), message: message.into() }))
    }

    /// The error, seen from one step above: the name of a member, which is a plain one, or a place in a list.
    #[must_use]
    pub fn within(mut self, step: &str) -> Self {
        self.0.pointer.insert_str(0, step);
        self.0.pointer.insert(0, '/');
        self
    }

    /// The error that `text` tells of, which may have come a long way: serde's errors carry nothing but text.
    pub fn told(text: &str) -> Self {
        let (pointer, message) =
            text.split_once(": ").filter(|(pointer, _)| pointer.starts_with('/')).unwrap_or(("", text));
        Self(Box::new(Reason { pointer: pointer.to_owned(), message: message.to_owned() }))
    }

    /// Where: a JSON Pointer (RFC 6901); empty: the whole.
    pub fn pointer(&self) -> &str {
        &self.0.pointer
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.pointer.is_empty() {
            f.write_str(&self.0.pointer)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ReadError {}

impl Read for bool {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        match tree {
            Tree::Bool(value) => Ok(*value),
            _ => Err(tree.is_no("`true` or `false`")),
        }
    }
}

impl Read for u64 {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.number(Number::as_u64, "a whole number from 0 to 2^64 - 1")
    }
}

impl Read for u32 {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let read = |number: &Number| number.as_u64().and_then(|number| Self::try_from(number).ok());
        tree.number(read, "a whole number from 0 to 2^32 - 1")
    }
}

impl Read for i64 {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.number(Number::as_i64, "a whole number from -2^63 to 2^63 - 1")
    }
}

impl Read for f64 {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.number(Number::as_f64, "a number")
    }
}

impl Read for String {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.text().map(str::to_owned)
    }
}

impl Read for Arc<str> {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.text().map(Self::from)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let mut read = Self::new();
        tree.each(&mut |item| {
            read.push(T::read(item)?);
            Ok(())
        })?;
        Ok(read)
    }
}

impl Read for Json {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        Ok(match tree {
            Tree::Null => Self::Null,
            Tree::Bool(value) => Self::Bool(*value),
            Tree::Number(number) => Self::Number(number.clone()),
            Tree::Text(text) => Self::String(text.as_ref().to_owned()),
            Tree::List(_) => Self::Array(Vec::read(tree)?),
            Tree::Raw(text) => parse(text)?,
            Tree::Object(members) => {
                let mut object = serde_json::Map::new();
                for (name, value) in members {
                    object.insert(name.as_ref().to_owned(), Self::read(value)?);
                }
                Self::Object(object)
            }
        })
    }
}

impl<'de> Deserialize<'de> for Tree<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        let mut members = Vec::new();
        // A name is read as a tree, too, because that borrows it.
        while let Some((name, value)) = map.next_entry()? {
            if let Tree::Text(name) = name {
                members.push((name, value));
            }
        }
        Ok(Tree::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            ".{0,5}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 12, 4, |json| {
            let members = prop::collection::btree_map(".{0,3}", json.clone(), 0..3);
            prop_oneof![
                prop::collection::vec(json, 0..3).prop_map(Json::from),
                members.prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_as_it_is(json in json()) {
            prop_assert_eq!(&parse::<Json>(&json.to_string()).unwrap(), &json);
            prop_assert_eq!(&parse::<Json>(&serde_json::to_string_pretty(&json).unwrap()).unwrap(), &json);
            prop_assert_eq!(&deserialize::<Json, _>(&json).unwrap(), &json);
        }

        #[test]
        fn any_text_is_read_or_refused(text in r#"[\[\]{}",:a1.eu\\ -]{0,12}"#) {
            prop_assert_eq!(parse::<Json>(&text).ok(), serde_json::from_str::<Json>(&text).ok());
        }
    }

    #[test]
    fn members_that_are_kept_as_text_are_the_same_bytes() {
        let tree = Tree::parse_but("body", r#" { "a" : [ { "body" : {"b" :1.0e2 } } ] } "#).unwrap();
        let Some(Tree::List(items)) = tree.fields().unwrap().get("a").unwrap() else { panic!("{tree:?}") };
        let body = items[0].fields().unwrap().get("body").unwrap();
        assert!(matches!(body, Some(Tree::Raw(r#"{"b" :1.0e2 }"#))), "{body:?}");
        assert_eq!(Json::read(&tree).unwrap(), serde_json::json!({ "a": [{ "body": { "b": 100.0 } }] }));
    }

    #[test]
    fn texts_are_parsed_as_serde_json_parses_them() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let (deepest, too_deep) = (nested(127), nested(128));
        for text in [
            "",
            " ",
            "nul",
            "nullx",
            "null null",
            "[1,]",
            "[,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{,}",
            "{\"a\":1,}",
            "]",
            "01",
            "-",
            "-0",
            "1.",
            ".1",
            "+1",
            "1e",
            "1e5",
            "1E+5",
            "1e999",
            "-1.5e-300",
            "0x1",
            "1a",
            "1__",
            "NaN",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "5e-324",
            "1e-400",
            "0.1234567890123456789012345678901234567890",
            "179769313486231580793728971405301e276",
            "2.2250738585072011e-308",
            "\"",
            "\"\\\"",
            "\"\\q\"",
            "\"\\u00e9\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\ud83d\\u0041\"",
            "\"\\ude00\"",
            "\"\\u00g0\"",
            "\"\\u12\"",
            "\"\\\\\\/\\b\\f\\n\\r\\t\\\"\"",
            "\"é\\n€😀\"",
            "\"\n\"",
            "\"\u{7f}\"",
            "\"a\\é\"",
            "\u{feff}1",
            "\u{a0}1",
            "\t\r\n 1 \n",
            "/**/1",
            "é",
            &deepest,
            &too_deep,
        ] {
            assert_eq!(parse::<Json>(text).ok(), serde_json::from_str::<Json>(text).ok(), "{text}");
        }
    }

    #[test]
    fn errors_that_were_told_are_taken_apart() {
        let error = ReadError::new("is bad: very").within("3").within("rules");
        assert_eq!(error.to_string(), "/rules/3: is bad: very");
        assert_eq!(ReadError::told(&error.to_string()), error);
        assert_eq!((ReadError::told("a: b").pointer(), ReadError::told("a: b").message()), ("", "a: b"));
    }
}
