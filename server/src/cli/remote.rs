//! A running server, asked over its API.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use url::Url;

use crate::{
    outgoing::{Client, Credentials, Settings, SystemResolver},
    ports::outgoing::{Outgoing as _, Request, Response, Secret},
};

/// The server that is asked.
#[derive(Args)]
pub struct RemoteArgs {
    /// Where the server is reached [variable: TIDEGATE_URL]
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8580", hide_env = true)]
    url: String,
    /// An API token [variable: TIDEGATE_TOKEN]
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env = true, hide_env_values = true)]
    token: Option<String>,
}

/// A running server.
pub struct Remote {
    client: Client,
    base: String,
}

/// The name under which the token is known to the way out.
const CREDENTIAL: &str = "cli";

impl Remote {
    /// The server that the arguments name.
    ///
    /// # Errors
    /// Where the URL is none, or there is no token.
    pub fn new(args: &RemoteArgs) -> Result<Self> {
        let url = Url::parse(&args.url).with_context(|| format!("`{}` is no URL", args.url))?;
        let origin = url.origin().ascii_serialization();
        let Some(token) = args.token.as_deref() else {
            bail!("this needs an API token: `--token` or TIDEGATE_TOKEN; `tidegate token create` makes one")
        };
        let credential = format!("origin = {}, bearer = {}", json!(origin), json!(token));
        let credentials = Credentials::read(None, &[(CREDENTIAL.to_uppercase(), Secret::new(credential))])?;
        // Whoever types the address may ask it: the lists are for what others configure.
        let allow = "0.0.0.0/0,::/0".parse().map_err(|error: String| anyhow!(error))?;
        let settings = Settings { allow, credentials, ..Settings::default() };
        let client = Client::new(settings, Arc::new(SystemResolver))?;
        Ok(Self { client, base: format!("{}/api/v1", args.url.trim_end_matches('/')) })
    }

    /// What the server answers to a read.
    ///
    /// # Errors
    /// In the server's words, where it refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Request::get(format!("{}{path}", self.base))).await
    }

    /// What the server answers to a write; `expected`: the version that the caller saw.
    ///
    /// # Errors
    /// In the server's words, where it refuses.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Json, expected: Option<u64>) -> Result<T> {
        let mut request = Request::post(format!("{}{path}", self.base), body.to_string());
        request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        request.headers.extend(expected.map(|version| ("if-match".to_owned(), format!("\"{version}\""))));
        self.send(request).await
    }

    async fn send<T: DeserializeOwned>(&self, mut request: Request) -> Result<T> {
        request.credential = Some(CREDENTIAL.to_owned());
        let url = request.url.clone();
        let response = self.client.send(request).await.with_context(|| format!("{url} was not asked"))?;
        read(&response)
    }
}

fn read<T: DeserializeOwned>(response: &Response) -> Result<T> {
    if response.is_success() {
        return serde_json::from_slice(&response.body).context("that is no answer of a Tidegate server");
    }
    let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
    let detail = if problem.detail.is_empty() { "no reason given" } else { &problem.detail };
    match problem.field {
        Some(field) => bail!("refused ({}): {field}: {detail}", response.status),
        None => bail!("refused ({}): {detail}", response.status),
    }
}

/// Why a server refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    field: Option<String>,
}
