//! The evaluation context: who asks.

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {}

impl Context {
    /// A context with a targeting key and no attributes.
    pub fn new(_targeting_key: impl Into<Box<str>>) -> Self {
        todo!()
    }

    /// A context without a targeting key.
    pub fn anonymous() -> Self {
        todo!()
    }

    /// The context with one more attribute; an earlier one of that name is replaced.
    #[must_use]
    pub fn with(self, _name: &str, _value: impl Into<Value>) -> Self {
        todo!()
    }

    /// Reads OpenFeature's form: a JSON object, its `targetingKey` the targeting key, all else attributes.
    ///
    /// # Errors
    /// A sentence that names the field, where `json` is no object or its `targetingKey` is neither string nor null.
    pub fn from_json(_json: &serde_json::Value) -> Result<Self, String> {
        todo!()
    }

    /// The targeting key, if there is one.
    pub fn targeting_key(&self) -> Option<&str> {
        todo!()
    }
}
