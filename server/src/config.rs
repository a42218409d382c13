//! The server's configuration: by flag, `TIDEGATE_*` variable or TOML file, in that order.
//!
//! Every setting has one name: `public_url` in the file, `TIDEGATE_PUBLIC_URL` as a variable, `--public-url` as a flag. What
//! nobody knows is refused with the nearest name that somebody does, so that a typing error cannot become a default.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    outgoing::AllowList,
    ports::outgoing::Secret,
    store::{Location, MalformedLocation},
    telemetry::LogFormat,
};

/// The configuration of a server. Printed with secrets left out.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of everything that the server writes, but what PostgreSQL keeps.
    pub data_dir: PathBuf,
    /// Where the data is.
    pub database: Location,
    /// Where to accept connections.
    pub listen: SocketAddr,
    /// Where people reach the server; absent: where it listens.
    pub public_url: Option<String>,
    /// The networks of the proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether everybody may read `/metrics`, or only this machine and instance administrators.
    pub public_metrics: bool,
    /// A level, or directives like `info,tidegate_server::stream=debug`.
    pub log_level: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long requests may go on once the server has been told to stop.
    pub shutdown_deadline: Duration,
    /// The mail server, with user and password where it asks for them; absent: no mail is sent.
    pub smtp_url: Option<Secret>,
    /// Whom mail is from.
    pub smtp_from: Option<String>,
    /// Hosts and networks of other systems that are asked although they are not public.
    pub outgoing_allow: AllowList,
    /// A file of certificates of authorities, beside those of the web, for the TLS with other systems.
    pub outgoing_ca: Option<PathBuf>,
    /// A file of credentials for other systems.
    pub credentials: Option<PathBuf>,
    /// Credentials given as variables, by the end of the variable's name.
    pub credential_variables: Vec<(String, Secret)>,
}

/// What the configuration is made of, before anybody has looked at it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Settings given as flags, by their name.
    pub flags: BTreeMap<&'static str, String>,
    /// Every environment variable; those that do not start with `TIDEGATE_` are left alone.
    pub variables: Vec<(String, String)>,
    /// The file and what it holds, where there is one.
    pub file: Option<(PathBuf, String)>,
}

/// Every setting's name.
pub const SETTINGS: [&str; 14] = [
    "data_dir",
    "database",
    "listen",
    "public_url",
    "trusted_proxies",
    "public_metrics",
    "log_level",
    "log_format",
    "shutdown_deadline",
    "smtp_url",
    "smtp_from",
    "outgoing_allow",
    "outgoing_ca",
    "credentials",
];

/// Names the file; a setting of the command line, and so in no file.
pub const FILE_VARIABLE: &str = "TIDEGATE_CONFIG";

/// Begins the name of each variable that holds a credential.
const CREDENTIAL_VARIABLE: &str = "TIDEGATE_CREDENTIAL_";

/// What SDKs, the example application and `tidegate rollout` read: none of ours, and no mistake where a shell has them.
const OF_SDKS: [&str; 3] = ["TIDEGATE_URL", "TIDEGATE_SDK_KEY", "TIDEGATE_TOKEN"];

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nobody knows the name.
    #[error("{place}: there is no setting `{name}`; did you mean `{nearest}`?")]
    Unknown {
        /// Where it is.
        place: String,
        /// The name.
        name: String,
        /// The known name that looks most like it.
        nearest: String,
    },
    /// A setting has a value that it cannot have.
    #[error("{place}: {detail}")]
    Invalid {
        /// Where it is.
        place: String,
        /// What is wrong and what would do.
        detail: String,
    },
    /// The file is no TOML.
    #[error("{}: {detail}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong.
        detail: String,
    },
}

/// A setting's text, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    text: String,
    place: String,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and where it was given.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let given = merge(sources)?;
        let data_dir = setting(&given, "data_dir", || PathBuf::from(".tidegate"))?;
        Ok(Self {
            database: setting_by(&given, "database", parse_database, || {
                Location::Sqlite(data_dir.join("tidegate.db"))
            })?,
            listen: setting_by(&given, "listen", parse_address, || SocketAddr::from(([127, 0, 0, 1], 8580)))?,
            public_url: setting_by(&given, "public_url", |text| parse_url(text).map(Some), || None)?,
            trusted_proxies: setting_by(&given, "trusted_proxies", parse_networks, Vec::new)?,
            public_metrics: setting_by(&given, "public_metrics", parse_bool, || false)?,
            log_level: setting(&given, "log_level", || "info".to_owned())?,
            log_format: setting_by(&given, "log_format", parse_log_format, LogFormat::default)?,
            shutdown_deadline: setting_by(&given, "shutdown_deadline", parse_seconds, || Duration::from_secs(20))?,
            smtp_url: setting_by(&given, "smtp_url", parse_secret, || None)?,
            smtp_from: setting_by(&given, "smtp_from", parse_text, || None)?,
            outgoing_allow: setting_by(&given, "outgoing_allow", str::parse, AllowList::default)?,
            outgoing_ca: setting_by(&given, "outgoing_ca", parse_path, || None)?,
            credentials: setting_by(&given, "credentials", parse_path, || None)?,
            credential_variables: credential_variables(&sources.variables),
            data_dir,
        })
    }

    /// Where people reach the server, without a slash at the end.
    pub fn public_url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }

    /// Every setting as it would stand in the file, secrets left out.
    pub fn redacted(&self) -> Vec<(&'static str, String)> {
        let proxies: Vec<_> = self.trusted_proxies.iter().map(IpNet::to_string).collect();
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        vec![
            ("data_dir", self.data_dir.display().to_string()),
            ("database", self.database.to_string()),
            ("listen", self.listen.to_string()),
            ("public_url", self.public_url.clone().unwrap_or_default()),
            ("trusted_proxies", proxies.join(",")),
            ("public_metrics", self.public_metrics.to_string()),
            ("log_level", self.log_level.clone()),
            ("log_format", format!("{:?}", self.log_format).to_lowercase()),
            ("shutdown_deadline", self.shutdown_deadline.as_secs().to_string()),
            ("smtp_url", self.smtp_url.as_ref().map(without_user).unwrap_or_default()),
            ("smtp_from", self.smtp_from.clone().unwrap_or_default()),
            ("outgoing_allow", self.outgoing_allow.to_string()),
            ("outgoing_ca", path(&self.outgoing_ca)),
            ("credentials", path(&self.credentials)),
        ]
    }
}

/// The text of each setting that was given, from the first source that gives it.
fn merge(sources: &Sources) -> Result<BTreeMap<&'static str, Given>, ConfigError> {
    let mut given = BTreeMap::new();
    if let Some((path, text)) = &sources.file {
        given.extend(read_file(path, text)?);
    }
    given.extend(read_variables(&sources.variables)?);
    for (name, text) in &sources.flags {
        given.insert(name, Given { text: text.clone(), place: format!("`--{}`", name.replace('_', "-")) });
    }
    Ok(given)
}

fn read_file(path: &Path, text: &str) -> Result<Vec<(&'static str, Given)>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::File {
        path: path.to_owned(),
        detail: error.to_string().trim_end().to_owned(),
    })?;
    let mut given = Vec::new();
    for (key, value) in table {
        let Some(name) = known(&key) else {
            let place = path.display().to_string();
            return Err(ConfigError::Unknown { place, nearest: nearest(&key).to_owned(), name: key });
        };
        let place = format!("{}: `{name}`", path.display());
        let text = as_text(&value).ok_or_else(|| ConfigError::Invalid {
            place: place.clone(),
            detail: format!("a {} is no value of a setting", value.type_str()),
        })?;
        given.push((name, Given { text, place }));
    }
    Ok(given)
}

/// The text that a variable with the same meaning would have.
fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| item.as_str()).collect();
            items.map(|items| items.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn read_variables(variables: &[(String, String)]) -> Result<Vec<(&'static str, Given)>, ConfigError> {
    let mut given = Vec::new();
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix("TIDEGATE_") else { continue };
        if variable == FILE_VARIABLE || OF_SDKS.contains(&variable.as_str()) || is_credential(variable) {
            continue;
        }
        let key = rest.to_lowercase();
        let known = known(&key).filter(|_| rest == rest.to_uppercase());
        let Some(name) = known else {
            return Err(ConfigError::Unknown {
                place: "environment".to_owned(),
                name: variable.clone(),
                nearest: format!("TIDEGATE_{}", nearest(&key).to_uppercase()),
            });
        };
        given.push((name, Given { text: text.clone(), place: format!("`{variable}`") }));
    }
    Ok(given)
}

fn is_credential(variable: &str) -> bool {
    variable.starts_with(CREDENTIAL_VARIABLE)
}

fn credential_variables(variables: &[(String, String)]) -> Vec<(String, Secret)> {
    let credential = |(variable, text): &(String, String)| {
        let name = variable.strip_prefix(CREDENTIAL_VARIABLE)?;
        Some((name.to_owned(), Secret::new(text)))
    };
    variables.iter().filter_map(credential).collect()
}

fn known(key: &str) -> Option<&'static str> {
    SETTINGS.into_iter().find(|name| *name == key)
}

fn nearest(key: &str) -> &'static str {
    let likeness = |name: &&str| strsim::jaro_winkler(name, key);
    SETTINGS.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

fn setting<T>(given: &BTreeMap<&'static str, Given>, name: &str, default: impl FnOnce() -> T) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    setting_by(given, name, |text| text.parse().map_err(|error: T::Err| error.to_string()), default)
}

fn setting_by<T>(
    given: &BTreeMap<&'static str, Given>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
    default: impl FnOnce() -> T,
) -> Result<T, ConfigError> {
    match given.get(name) {
        None => Ok(default()),
        Some(Given { text, place }) => {
            parse(text.trim()).map_err(|detail| ConfigError::Invalid { place: place.clone(), detail })
        }
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address with a port, like `127.0.0.1:8580` or `[::]:8580`"))
}

fn parse_database(text: &str) -> Result<Location, String> {
    // Whoever means another kind of database should not find a file of that name. The text may hold a password.
    let scheme = text.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    if !["", "sqlite", "postgres", "postgresql"].contains(&scheme) {
        return Err(format!("`{scheme}` is no database that this server knows: there are SQLite and PostgreSQL"));
    }
    text.strip_prefix("sqlite://").unwrap_or(text).parse().map_err(|error: MalformedLocation| error.to_string())
}

fn parse_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    if host.trim_end_matches('/').is_empty() {
        return Err(format!("`{text}` is no address of a server, like `https://flags.example.org`"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let network = |item: &str| {
        let single = || item.parse().map(|address: std::net::IpAddr| IpNet::from(address)).ok();
        item.parse().ok().or_else(single).ok_or_else(|| format!("`{item}` is no network, like `10.0.0.0/8`"))
    };
    items.map(network).collect()
}

/// The address without user and password.
fn without_user(url: &Secret) -> String {
    let (scheme, rest) = url.reveal().split_once("://").unwrap_or_default();
    format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
}

#[expect(clippy::unnecessary_wraps, reason = "as other settings are parsed")]
fn parse_secret(text: &str) -> Result<Option<Secret>, String> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(Secret::new))
}

#[expect(clippy::unnecessary_wraps, reason = "as other settings are parsed")]
fn parse_text(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(str::to_owned))
}

#[expect(clippy::unnecessary_wraps, reason = "as other settings are parsed")]
fn parse_path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("`{other}` is neither `text` nor `json`")),
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither `true` nor `false`"))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=3_600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is no number of seconds from 1 to 3600"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(flags: &[(&'static str, &str)], variables: &[(&str, &str)], file: &str) -> Sources {
        Sources {
            flags: flags.iter().map(|&(name, text)| (name, text.to_owned())).collect(),
            variables: variables.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect(),
            file: Some((PathBuf::from("tidegate.toml"), file.to_owned())),
        }
    }

    #[track_caller]
    fn check_refused(sources: &Sources, expected: &str) {
        assert_eq!(Config::read(sources).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_flag_beats_a_variable_and_a_variable_the_file() {
        let listen = |flags: &[_], variables: &[_], file| {
            let config = Config::read(&sources(flags, variables, file)).unwrap();
            config.listen.port()
        };
        assert_eq!(listen(&[], &[], ""), 8580);
        assert_eq!(listen(&[], &[], "listen = '127.0.0.1:1'"), 1);
        assert_eq!(listen(&[], &[("TIDEGATE_LISTEN", "127.0.0.1:2")], "listen = '127.0.0.1:1'"), 2);
        let flags = [("listen", "127.0.0.1:3")];
        assert_eq!(listen(&flags, &[("TIDEGATE_LISTEN", "127.0.0.1:2")], "listen = '127.0.0.1:1'"), 3);
    }

    #[test]
    fn every_setting_can_stand_in_the_file() {
        let file = "data_dir = '/data'\nlisten = '[::]:80'\npublic_url = 'https://flags.example.org/'\n\
            trusted_proxies = ['10.0.0.0/8', '192.0.2.1']\npublic_metrics = true\nlog_level = 'debug'\n\
            log_format = 'json'\nshutdown_deadline = 5\nsmtp_url = 'smtps://ada:secret@mail.example.org:465'\n\
            smtp_from = 'Tidegate <tidegate@example.org>'\noutgoing_allow = ['10.0.0.0/8', 'prometheus:9090']\n\
            outgoing_ca = 'ca.pem'\ncredentials = '/run/secrets/tidegate.toml'";
        let config = Config::read(&sources(&[], &[], file)).unwrap();
        let redacted: Vec<_> = config.redacted().into_iter().map(|(name, text)| format!("{name} {text}")).collect();
        let expected = [
            "data_dir /data",
            "database /data/tidegate.db",
            "listen [::]:80",
            "public_url https://flags.example.org",
            "trusted_proxies 10.0.0.0/8,192.0.2.1/32",
            "public_metrics true",
            "log_level debug",
            "log_format json",
            "shutdown_deadline 5",
            "smtp_url smtps://mail.example.org:465",
            "smtp_from Tidegate <tidegate@example.org>",
            "outgoing_allow 10.0.0.0/8,prometheus:9090",
            "outgoing_ca ca.pem",
            "credentials /run/secrets/tidegate.toml",
        ];
        assert_eq!(redacted, expected);
        assert_eq!(redacted.len(), SETTINGS.len());
    }

    #[test]
    fn what_nobody_knows_is_refused_with_the_nearest_name() {
        check_refused(
            &sources(&[], &[], "lisen = '1'"),
            "tidegate.toml: there is no setting `lisen`; did you mean `listen`?",
        );
        check_refused(
            &sources(&[], &[("TIDEGATE_DATABASE_URL", "x")], ""),
            "environment: there is no setting `TIDEGATE_DATABASE_URL`; did you mean `TIDEGATE_DATABASE`?",
        );
        let harmless = [
            ("TIDEGATE_URL", "x"),
            ("TIDEGATE_SDK_KEY", "x"),
            ("TIDEGATE_TOKEN", "x"),
            ("TIDEGATE_CONFIG", "x"),
            ("PATH", "x"),
        ];
        assert!(Config::read(&sources(&[], &harmless, "")).is_ok());
    }

    #[test]
    fn a_wrong_value_is_refused_where_it_was_given() {
        check_refused(
            &sources(&[("listen", "8580")], &[], ""),
            "`--listen`: `8580` is no address with a port, like `127.0.0.1:8580` or `[::]:8580`",
        );
        check_refused(
            &sources(&[], &[("TIDEGATE_LOG_FORMAT", "xml")], ""),
            "`TIDEGATE_LOG_FORMAT`: `xml` is neither `text` nor `json`",
        );
        check_refused(
            &sources(&[], &[], "shutdown_deadline = 0"),
            "tidegate.toml: `shutdown_deadline`: `0` is no number of seconds from 1 to 3600",
        );
        check_refused(&sources(&[], &[], "listen = 1.5"), "tidegate.toml: `listen`: a float is no value of a setting");
        check_refused(
            &sources(&[("database", "mysql://root:secret@host/db")], &[], ""),
            "`--database`: `mysql` is no database that this server knows: there are SQLite and PostgreSQL",
        );
    }

    #[test]
    fn passwords_are_never_printed() {
        let check = |url: &str, expected: &str| {
            let config = Config::read(&sources(&[], &[("TIDEGATE_DATABASE", url)], "")).unwrap();
            assert!(config.redacted().contains(&("database", expected.to_owned())), "{config:?}");
            assert!(!format!("{config:?}").contains("secret"), "{config:?}");
        };
        check("postgres://tide:secret@db/flags", "db/flags");
        check("sqlite:flags.db", "flags.db");
        check("flags.db", "flags.db");

        let credential = ("TIDEGATE_CREDENTIAL_GRAFANA", "secret");
        let config = Config::read(&sources(&[], &[credential], "")).unwrap();
        assert_eq!(config.credential_variables, [("GRAFANA".to_owned(), Secret::new("secret"))]);
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");

        let mail = ("TIDEGATE_SMTP_URL", "smtp://ada:secret@mail:587");
        let config = Config::read(&sources(&[], &[mail], "")).unwrap();
        assert!(config.redacted().contains(&("smtp_url", "smtp://mail:587".to_owned())), "{config:?}");
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
    }
}
