//! References to context attributes: a name, a JSON Pointer, the targeting key or the time of the evaluation.

use std::fmt;

use crate::context::{Context, Name, TARGETING_KEY, Value};

/// How the time of the evaluation is written in a configuration.
const NOW: &str = "$now";

/// A parsed reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attribute {
    TargetingKey,
    Now,
    Name(Name),
    /// A member of an object or list attribute.
    Pointer(Name, Box<[Token]>),
}

/// One reference token of a JSON Pointer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    name: Box<str>,
    /// The token read as a list index.
    index: Option<usize>,
}

impl Attribute {
    /// Parses the `attribute` or `bucketBy` of a configuration.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(pointer) = text.strip_prefix('/') else {
            return match text {
                "" => Err("an attribute is needed here".to_owned()),
                name => Ok(Self::named(name)),
            };
        };
        let mut names = pointer.split('/');
        let first = unescape(names.next().unwrap_or_default())?;
        let mut rest = Vec::new();
        for name in names {
            rest.push(Token::new(unescape(name)?));
        }
        Ok(if rest.is_empty() && first != NOW {
            Self::named(&first)
        } else {
            Self::Pointer(Name::new(&first), rest.into())
        })
    }

    fn named(name: &str) -> Self {
        match name {
            TARGETING_KEY => Self::TargetingKey,
            NOW => Self::Now,
            name => Self::Name(Name::new(name)),
        }
    }

    /// The attribute's value; absent and null are the same. [`Attribute::Now`] is not in the context.
    #[inline]
    pub(crate) fn resolve<'c>(&self, ctx: &'c Context) -> Option<&'c Value> {
        let value = match self {
            Self::Name(name) => ctx.get(name)?,
            Self::TargetingKey => ctx.targeting_value(),
            Self::Pointer(name, tokens) => tokens.iter().try_fold(ctx.get(name)?, |value, token| token.step(value))?,
            Self::Now => return None,
        };
        (!matches!(value, Value::Null)).then_some(value)
    }
}

impl Token {
    fn new(name: String) -> Self {
        // RFC 6901 §4: an index has no leading zero.
        let canonical = name == "0" || !name.starts_with(['0', '+']);
        Self { index: name.parse().ok().filter(|_| canonical), name: name.into() }
    }

    fn step<'c>(&self, value: &'c Value) -> Option<&'c Value> {
        match value {
            Value::Object(members) => members.iter().find(|(name, _)| *name == self.name).map(|(_, value)| value),
            Value::List(items) => items.get(self.index?),
            _ => None,
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetingKey => f.write_str(TARGETING_KEY),
            Self::Now => f.write_str(NOW),
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Pointer(name, tokens) => {
                write!(f, "/{}", name.as_str())?;
                tokens.iter().try_for_each(|token| write!(f, "/{}", token.name))
            }
        }
    }
}

/// RFC 6901 §3: `~1` is `/` and `~0` is `~`; another `~` is an error.
fn unescape(token: &str) -> Result<String, String> {
    let mut parts = token.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.split_at_checked(1) {
            Some(("0", rest)) => ('~', rest),
            Some(("1", rest)) => ('/', rest),
            _ => return Err("in a JSON Pointer, `~` is written `~0` and a `/` within a name `~1`".to_owned()),
        };
        name.push(character);
        name.push_str(rest);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(reference: &str, expected: impl Into<Option<Value>>) {
        let ctx = Context::from_json(&json!({
            "targetingKey": "u", "plan": "pro", "a/b": 1, "m~n": 2, "none": null, "$now": 3,
            "org": {"id": 7, "teams": [{"name": "sea"}, "land"], "01": "zero-one"},
        }));
        let (ctx, expected) = (ctx.unwrap(), expected.into());
        assert_eq!(Attribute::parse(reference).unwrap().resolve(&ctx), expected.as_ref(), "{reference}");
    }

    #[test]
    fn references_reach_names_and_nested_values() {
        check("plan", Some("pro".into()));
        check("/plan", Some("pro".into()));
        check("targetingKey", Some("u".into()));
        check("/targetingKey", Some("u".into()));
        check("/targetingKey/0", None);
        check("a/b", Some(1.into()));
        check("/a~1b", Some(1.into()));
        check("/m~0n", Some(2.into()));
        check("/org/id", Some(7.into()));
        check("/org/teams/0/name", Some("sea".into()));
        check("/org/teams/1", Some("land".into()));
        check("/org/01", Some("zero-one".into()));
        check("/$now", Some(3.into()));
    }

    #[test]
    fn what_is_not_there_is_absent() {
        for reference in
            ["x", "none", "/org/teams/2", "/org/teams/01", "/org/teams/-", "/org/x", "/plan/0", "/", "/x/y"]
        {
            check(reference, None);
        }
    }

    #[test]
    fn references_that_cannot_be_read_are_refused() {
        for bad in ["", "/a~", "/a~2b"] {
            assert!(Attribute::parse(bad).is_err(), "{bad}");
        }
    }
}
