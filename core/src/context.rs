//! The evaluation context: who asks.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::{
    code::TextCode,
    tree::{self, Read, ReadError, Tree},
};

/// The name under which conditions see the targeting key, and under which JSON carries it.
pub(crate) const TARGETING_KEY: &str = "targetingKey";

/// A context attribute's value. Numbers are doubles everywhere, as in JavaScript.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Treated like an absent attribute.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A double; not-a-number never matches anything.
    Number(f64),
    /// UTF-8 text.
    String(Box<str>),
    /// A test of a list holds where it holds for one element.
    List(Vec<Value>),
    /// Reached by a JSON Pointer.
    Object(Vec<(Box<str>, Value)>),
}

/// The targeting key and the attributes of one evaluation.
///
/// ```
/// use tidegate_core::Context;
///
/// let ctx = Context::new("user-7").with("country", "NL").with("age", 34).with("plans", vec!["pro", "beta"]);
/// assert_eq!(ctx.targeting_key(), Some("user-7"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// `Null` where there is none; text, unless somebody used [`with`](Context::with) to set something else.
    targeting_key: Value,
    /// The codes of the names, in the order of `attributes`: a lookup scans them.
    codes: Vec<TextCode>,
    attributes: Vec<(Box<str>, Value)>,
}

/// An attribute's name with its code, computed once per ruleset.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Name {
    code: TextCode,
    text: Box<str>,
}

impl Name {
    pub(crate) fn new(text: &str) -> Self {
        Self { code: TextCode::new(text), text: text.into() }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::anonymous()
    }
}

impl Context {
    /// A context with a targeting key and no attributes.
    pub fn new(targeting_key: impl Into<Box<str>>) -> Self {
        Self { targeting_key: Value::String(targeting_key.into()), ..Self::anonymous() }
    }

    /// A context without a targeting key.
    pub fn anonymous() -> Self {
        Self { targeting_key: Value::Null, codes: Vec::new(), attributes: Vec::new() }
    }

    /// The context with one more attribute; an earlier one of that name is replaced. `targetingKey` names the targeting
    /// key.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name.into(), value.into());
        self
    }

    /// Reads OpenFeature's form: a JSON object, its `targetingKey` the targeting key, all else attributes.
    ///
    /// # Errors
    /// A sentence that names the field, where `json` is no object or its `targetingKey` is neither string nor null.
    pub fn from_json(json: &serde_json::Value) -> Result<Self, String> {
        Self::deserialize(json).map_err(|error| error.to_string())
    }

    /// The targeting key, if there is one.
    pub fn targeting_key(&self) -> Option<&str> {
        match &self.targeting_key {
            Value::String(key) => Some(key),
            _ => None,
        }
    }

    /// The attribute `name`, if there is one; `targetingKey` is none.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        TextCode::new(name).find(name, &self.codes, &self.attributes)
    }

    pub(crate) fn targeting_value(&self) -> &Value {
        &self.targeting_key
    }

    #[inline]
    pub(crate) fn get(&self, name: &Name) -> Option<&Value> {
        name.code.find(&name.text, &self.codes, &self.attributes)
    }

    fn set(&mut self, name: Box<str>, value: Value) {
        if *name == *TARGETING_KEY {
            self.targeting_key = value;
            return;
        }
        if let Some((_, known)) = self.attributes.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else {
            self.codes.push(TextCode::new(&name));
            self.attributes.push((name, value));
        }
    }
}

impl Read for Context {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let mut context = Self::anonymous();
        for (name, value) in tree.fields()?.members() {
            let value = Value::read(value)?;
            if name == TARGETING_KEY && !matches!(value, Value::String(_) | Value::Null) {
                return Err(ReadError::new(format!("`{TARGETING_KEY}` must be a string")));
            }
            context.set(name.into(), value);
        }
        Ok(context)
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tree::deserialize(deserializer)
    }
}

impl Read for Value {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        Ok(match tree {
            Tree::Null => Self::Null,
            Tree::Bool(value) => Self::Bool(*value),
            Tree::Number(value) => value.as_f64().map_or(Self::Null, Self::Number),
            Tree::Text(value) => Self::String(value.as_ref().into()),
            Tree::List(_) => Self::List(Vec::read(tree)?),
            Tree::Object(members) => {
                let mut object = Vec::with_capacity(members.len());
                for (name, value) in members {
                    object.push((name.as_ref().into(), Self::read(value)?));
                }
                Self::Object(object)
            }
            Tree::Raw(text) => tree::parse(text)?,
        })
    }
}

impl fmt::Display for Value {
    /// Like JSON, for people: explanations quote it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::String(value) => write!(f, "{value:?}"),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Object(members) => write!(f, "an object of {}", members.len()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Number(f64::from(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Number(f64::from(value))
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers are doubles, as in JavaScript and JSON")]
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value as f64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers are doubles, as in JavaScript and JSON")]
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value as f64)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// `None` is [`Value::Null`].
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(value) => value.as_f64().map_or(Self::Null, Self::Number),
            Json::String(value) => Self::String(value.as_str().into()),
            Json::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Json::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (name.as_str().into(), value.into())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_later_attribute_replaces_an_earlier_one() {
        let ctx = Context::anonymous().with("plan", "free").with("age", 3).with("plan", "pro");
        assert_eq!(ctx.attribute("plan"), Some(&Value::from("pro")));
        assert_eq!(ctx.attribute("age"), Some(&Value::from(3)));
        assert_eq!(ctx.attribute("name"), None);
    }

    #[test]
    fn names_of_any_length_are_told_apart() {
        let names: Vec<String> = (0..40).map(|length| "n".repeat(length)).collect();
        let ctx = names.iter().zip(0_u32..).fold(Context::anonymous(), |ctx, (name, length)| ctx.with(name, length));
        for (name, length) in names.iter().zip(0_u32..) {
            assert_eq!(ctx.attribute(name), Some(&Value::from(length)));
            assert_eq!(ctx.attribute(&format!("{name}\0")), None);
        }
    }

    #[test]
    fn json_and_builder_make_the_same_context() {
        let json = json!({"targetingKey": "u", "n": 1.5, "b": true, "l": [1, "a", null], "o": {"k": {}}, "z": null});
        let built = Context::new("u")
            .with("b", true)
            .with("l", Value::List(vec![1.into(), "a".into(), Value::Null]))
            .with("n", 1.5)
            .with("o", Value::Object(vec![("k".into(), Value::Object(vec![]))]))
            .with("z", Value::Null);
        assert_eq!(Context::from_json(&json), Ok(built.clone()));
        assert_eq!(serde_json::from_value::<Context>(json).unwrap(), built);
    }

    #[test]
    fn json_without_a_usable_targeting_key_is_refused() {
        assert_eq!(Context::from_json(&json!({"targetingKey": null})), Ok(Context::anonymous()));
        for bad in [json!({"targetingKey": 7}), json!([]), json!("u"), json!(null)] {
            assert!(Context::from_json(&bad).is_err(), "{bad}");
        }
    }
}
