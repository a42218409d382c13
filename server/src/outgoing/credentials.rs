//! The operator's credentials for other systems. They are in a file or in variables of the process, and nowhere else: documents and
//! the audit log know their names. Each is bound to an origin, so that nobody who may name it can have it sent elsewhere.
//!
//! ```toml
//! [grafana]
//! origin = "https://metrics.example.org"
//! bearer = "…"                            # or: user and password; header and value; path; secret
//! ```
//!
//! In a variable, `TIDEGATE_CREDENTIAL_GRAFANA`, stands the same on one line, with commas in between. Errors never hold a value.

use std::{collections::BTreeMap, fmt};

use data_encoding::BASE64;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use toml::{Table, Value};
use url::Url;

use super::allow::plain_host;
use crate::ports::outgoing::{OutgoingError, Secret};

/// Every credential, by its name.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<String, Credential>);

#[derive(Clone, Debug)]
struct Credential {
    origin: Origin,
    usage: Usage,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

#[derive(Clone, Debug)]
enum Usage {
    /// A header with each request.
    Header(HeaderName, HeaderValue),
    /// The path of each request: of addresses that are secrets themselves, like Slack's.
    Path(Secret),
    /// Nothing that is sent by itself.
    Bare(Secret),
}

/// What is wrong with a credential; never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {detail}")]
pub struct CredentialError {
    place: String,
    detail: String,
}

/// What a credential adds to a request.
#[derive(Debug)]
pub(super) enum Addition {
    Header(HeaderName, HeaderValue),
    Path(Secret),
}

const MEMBERS: [&str; 8] = ["origin", "bearer", "user", "password", "header", "value", "path", "secret"];

impl Credentials {
    /// Reads the file's text, where there is one, and the variables by the end of their names. A variable goes before the file.
    ///
    /// # Errors
    /// Names the credential and the member, and never a value.
    pub fn read(file: Option<&str>, variables: &[(String, Secret)]) -> Result<Self, CredentialError> {
        let mut credentials = BTreeMap::new();
        for (name, value) in file.map(read_file).transpose()?.unwrap_or_default() {
            let place = format!("credential `{name}`");
            check_name(&place, &name)?;
            let Value::Table(members) = value else {
                return Err(wrong(&place, "a credential is a table with `origin` and a secret"));
            };
            credentials.insert(name, Credential::read(&place, &members)?);
        }
        for (variable, text) in variables {
            let place = format!("`TIDEGATE_CREDENTIAL_{variable}`");
            let name = variable.to_ascii_lowercase().replace('_', "-");
            check_name(&place, &name)?;
            let line = format!("it = {{ {} }}", text.reveal().trim());
            let members = line.parse::<Table>().ok().and_then(|mut table| table.remove("it"));
            let Some(Value::Table(members)) = members else {
                let form = "it has the form `origin = \"https://metrics.example.org\", bearer = \"…\"`";
                return Err(wrong(&place, form));
            };
            credentials.insert(name, Credential::read(&place, &members)?);
        }
        Ok(Self(credentials))
    }

    /// What the credential adds to a request of `url`.
    pub(super) fn addition(&self, name: &str, url: &Url) -> Result<Addition, OutgoingError> {
        match &self.find(name, url)?.usage {
            Usage::Header(header, value) => Ok(Addition::Header(header.clone(), value.clone())),
            Usage::Path(path) => Ok(Addition::Path(path.clone())),
            Usage::Bare(_) => Err(OutgoingError::CredentialKind { name: name.to_owned() }),
        }
    }

    /// The bare secret for `url`.
    pub(super) fn secret(&self, name: &str, url: &Url) -> Result<Secret, OutgoingError> {
        match &self.find(name, url)?.usage {
            Usage::Bare(secret) => Ok(secret.clone()),
            Usage::Header(..) | Usage::Path(_) => Err(OutgoingError::CredentialKind { name: name.to_owned() }),
        }
    }

    fn find(&self, name: &str, url: &Url) -> Result<&Credential, OutgoingError> {
        let unknown = || OutgoingError::UnknownCredential { name: name.to_owned() };
        let credential = self.0.get(name).ok_or_else(unknown)?;
        if Origin::of(url).is_none_or(|origin| origin != credential.origin) {
            return Err(OutgoingError::CredentialElsewhere { name: name.to_owned() });
        }
        Ok(credential)
    }
}

fn read_file(text: &str) -> Result<Table, CredentialError> {
    text.parse::<Table>().map_err(|error: toml::de::Error| {
        // The error shows the line, and the line may hold a secret.
        let at = error.span().map_or(0, |span| span.start);
        let n_line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        wrong("the file of credentials", &format!("line {n_line} is no TOML"))
    })
}

fn check_name(place: &str, name: &str) -> Result<(), CredentialError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(wrong(place, "a credential's name has lower case letters, digits and `-`"));
    }
    Ok(())
}

fn wrong(place: impl fmt::Display, detail: &str) -> CredentialError {
    CredentialError { place: place.to_string(), detail: detail.to_owned() }
}

impl Credential {
    fn read(place: &str, members: &Table) -> Result<Self, CredentialError> {
        if let Some(unknown) = members.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
            // No key that is no name: somebody may have put the secret before the `=`.
            let detail =
                if unknown.len() <= 16 { format!("`{unknown}` is no member") } else { "unknown member".into() };
            return Err(wrong(place, &format!("{detail}; there are {}", MEMBERS.join(", "))));
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.as_str())),
            Some(_) => Err(wrong(place, &format!("`{name}` is a text that is not empty"))),
        };
        let given = text("origin")?.ok_or_else(|| wrong(place, "`origin` is missing: where it may be sent"))?;
        let form = "`origin` is scheme, host and port only, like `https://metrics.example.org` or `smtp://mail:587`";
        let origin = Origin::parse(given).ok_or_else(|| wrong(place, form))?;
        let header = |name: HeaderName, value: &str| {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| wrong(place, "the value cannot be in a header"))?;
            value.set_sensitive(true);
            Ok(Usage::Header(name, value))
        };
        let kinds = ["bearer", "user", "header", "path", "secret"].map(|kind| members.contains_key(kind));
        if kinds.into_iter().filter(|is_there| *is_there).count() != 1 {
            let kinds = "`bearer`, `user` and `password`, `header` and `value`, `path`, `secret`";
            return Err(wrong(place, &format!("it has exactly one of {kinds}")));
        }
        let usage = match (text("bearer")?, text("user")?, text("header")?, text("path")?, text("secret")?) {
            (Some(token), ..) => header(AUTHORIZATION, &format!("Bearer {token}"))?,
            (_, Some(user), ..) => {
                let password = text("password")?.ok_or_else(|| wrong(place, "`password` is missing"))?;
                header(AUTHORIZATION, &format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))?
            }
            (_, _, Some(name), ..) => {
                let value = text("value")?.ok_or_else(|| wrong(place, "`value` is missing"))?;
                let name = HeaderName::from_bytes(name.as_bytes());
                let name = name.ok().filter(|name| !super::RESERVED.contains(name) || *name == AUTHORIZATION);
                header(name.ok_or_else(|| wrong(place, "`header` is no name of a header to be sent"))?, value)?
            }
            (_, _, _, Some(path), _) if path.starts_with('/') => Usage::Path(Secret::new(path)),
            (_, _, _, Some(_), _) => return Err(wrong(place, "`path` begins with `/`")),
            (.., Some(secret)) => Usage::Bare(Secret::new(secret)),
            (None, None, None, None, None) => return Err(wrong(place, "it has no secret")),
        };
        Ok(Self { origin, usage })
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_bare = ["", "/"].contains(&url.path()) && url.query().is_none() && url.fragment().is_none();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        Self::of(&url).filter(|_| is_bare && is_anonymous)
    }

    fn of(url: &Url) -> Option<Self> {
        let host = plain_host(url.host_str()?);
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(file: &str) -> Credentials {
        Credentials::read(Some(file), &[]).unwrap()
    }

    #[track_caller]
    fn check_refused(file: &str, expected: &str) {
        assert_eq!(Credentials::read(Some(file), &[]).unwrap_err().to_string(), expected);
    }

    #[track_caller]
    fn header(credentials: &Credentials, name: &str, url: &str) -> (String, String) {
        match credentials.addition(name, &Url::parse(url).unwrap()).unwrap() {
            Addition::Header(name, value) => (name.to_string(), value.to_str().unwrap().to_owned()),
            addition @ Addition::Path(_) => panic!("{addition:?}"),
        }
    }

    const METRICS: &str = "https://metrics.example.org";

    #[test]
    fn a_credential_is_a_header_a_path_or_a_bare_secret() {
        let credentials = read(
            "[token]\norigin = 'https://metrics.example.org'\nbearer = 'abc'\n\
             [person]\norigin = 'https://metrics.example.org:443/'\nuser = 'Aladdin'\npassword = 'open sesame'\n\
             [key]\norigin = 'https://METRICS.example.org.'\nheader = 'X-Scope-OrgID'\nvalue = 'shop'\n\
             [slack]\norigin = 'https://hooks.slack.com'\npath = '/services/T/B/x'\n\
             [mail]\norigin = 'smtp://mail.example.org:587'\nsecret = 'letmein'",
        );
        assert_eq!(header(&credentials, "token", METRICS), ("authorization".into(), "Bearer abc".into()));
        let basic = ("authorization".into(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".into());
        assert_eq!(header(&credentials, "person", "https://metrics.example.org/api?x=1"), basic);
        assert_eq!(header(&credentials, "key", METRICS), ("x-scope-orgid".into(), "shop".into()));
        let slack = Url::parse("https://hooks.slack.com").unwrap();
        assert!(
            matches!(credentials.addition("slack", &slack), Ok(Addition::Path(path)) if path.reveal().ends_with("/x"))
        );
        let mail = Url::parse("smtp://mail.example.org:587").unwrap();
        assert_eq!(credentials.secret("mail", &mail).unwrap().reveal(), "letmein");
        assert_eq!(credentials.secret("slack", &slack), Err(OutgoingError::CredentialKind { name: "slack".into() }));
        assert!(credentials.addition("mail", &mail).is_err());
        assert!(!format!("{credentials:?}").contains("letmein"), "{credentials:?}");
        assert!(!format!("{credentials:?}").contains("abc"), "{credentials:?}");
    }

    #[test]
    fn a_credential_goes_to_its_origin_only() {
        let credentials = read("[token]\norigin = 'https://metrics.example.org'\nbearer = 'abc'");
        let refusal = |name: &str, url: &str| credentials.addition(name, &Url::parse(url).unwrap()).unwrap_err();
        for elsewhere in [
            "http://metrics.example.org",
            "https://metrics.example.org:8443",
            "https://metrics.example.org.evil.net",
            "https://evil.net/metrics.example.org",
        ] {
            assert_eq!(refusal("token", elsewhere), OutgoingError::CredentialElsewhere { name: "token".into() });
        }
        assert_eq!(refusal("tokn", METRICS), OutgoingError::UnknownCredential { name: "tokn".into() });
    }

    #[test]
    fn a_variable_says_the_same_on_one_line_and_goes_before_the_file() {
        let file = "[main-prometheus]\norigin = 'https://metrics.example.org'\nbearer = 'old'";
        let variable = |text: &str| vec![("MAIN_PROMETHEUS".to_owned(), Secret::new(text))];
        let line = "origin = 'https://metrics.example.org', bearer = 'new'";
        let credentials = Credentials::read(Some(file), &variable(line)).unwrap();
        assert_eq!(header(&credentials, "main-prometheus", METRICS).1, "Bearer new");
        for wrong in ["hunter2", "origin = 'https://metrics.example.org', bearer = hunter2", "origin = 1, hunter2"] {
            let error = Credentials::read(None, &variable(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("`TIDEGATE_CREDENTIAL_MAIN_PROMETHEUS`: it has the form"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        check_refused("[a]\norigin = 'https://a'\nbearer = hunter2", "the file of credentials: line 3 is no TOML");
        check_refused("a = 'hunter2'", "credential `a`: a credential is a table with `origin` and a secret");
        check_refused("[A]\n", "credential `A`: a credential's name has lower case letters, digits and `-`");
        check_refused("[a]\nbearer = 'x'", "credential `a`: `origin` is missing: where it may be sent");
        let form = "credential `a`: `origin` is scheme, host and port only, like `https://metrics.example.org` or \
                    `smtp://mail:587`";
        for origin in ["metrics", "https://a/path", "https://u:p@a", "smtp://mail", "https://a?x"] {
            check_refused(&format!("[a]\norigin = '{origin}'\nbearer = 'x'"), form);
        }
        let one = "credential `a`: it has exactly one of `bearer`, `user` and `password`, `header` and `value`, `path`, `secret`";
        check_refused("[a]\norigin = 'https://a'", one);
        check_refused("[a]\norigin = 'https://a'\nbearer = 'x'\npath = '/x'", one);
        check_refused("[a]\norigin = 'https://a'\nuser = 'x'", "credential `a`: `password` is missing");
        check_refused("[a]\norigin = 'https://a'\nbearer = 5", "credential `a`: `bearer` is a text that is not empty");
        check_refused(
            "[a]\norigin = 'https://a'\nheader = 'Host'\nvalue = 'x'",
            "credential `a`: `header` is no name of a header to be sent",
        );
        let unknown = "there are origin, bearer, user, password, header, value, path, secret";
        check_refused("[a]\ntoken = 'x'", &format!("credential `a`: `token` is no member; {unknown}"));
        check_refused("[a]\nsome-very-long-secret-token = ''", &format!("credential `a`: unknown member; {unknown}"));
    }
}
