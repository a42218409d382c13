//! Secrets: how tokens and keys are made, told apart and compared. Only hashes are ever stored.
//!
//! ```text
//! tgs_ + id (16) + _ + secret (52) + checksum (7)      base32, RFC 4648, lower case, without padding
//! ```
//!
//! The prefix says what it is, to people and to secret scanners. The id is public: documents, logs and the UI name the
//! key by it. The secret has 256 bits, so one round of SHA-256 is enough of a hash. The checksum is the CRC-32 of all
//! that stands before it: a mistyped or cut token is refused without a look into the database.

use data_encoding::{BASE32_NOPAD, BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    audit::hex,
    ports::{IdSource, notify::SigningKey},
};

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// An API token: `tgp_`.
    Token,
    /// A server key of an SDK: `tgs_`.
    ServerKey,
    /// A client key of an SDK: `tgc_`.
    ClientKey,
}

impl CredentialKind {
    const ALL: [Self; 3] = [Self::Token, Self::ServerKey, Self::ClientKey];

    fn prefix(self) -> &'static str {
        match self {
            Self::Token => "tgp_",
            Self::ServerKey => "tgs_",
            Self::ClientKey => "tgc_",
        }
    }
}

/// A credential just made: the only moment at which its text exists on this side.
pub struct NewCredential {
    /// The public part.
    pub id: String,
    /// What the bearer presents.
    pub text: String,
    /// What is stored.
    pub secret_hash: String,
}

/// A credential as presented: well-formed, nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented<'a> {
    /// What it says it is.
    pub kind: CredentialKind,
    /// The public part.
    pub id: &'a str,
    secret: &'a str,
}

const ID_BYTES: usize = 10;
const ID_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 52;
const CHECKSUM_LENGTH: usize = 7;

impl NewCredential {
    /// Makes one.
    pub fn mint(kind: CredentialKind, ids: &dyn IdSource) -> Self {
        let id = random_base32::<ID_BYTES>(ids);
        let secret = random_secret(ids);
        let body = format!("{}{id}_{secret}", kind.prefix());
        let text = format!("{body}{}", checksum(&body));
        Self { id, text, secret_hash: hash(&secret) }
    }
}

impl<'a> Presented<'a> {
    /// Reads a credential; `None` where it is malformed or its checksum is wrong.
    pub fn parse(text: &'a str) -> Option<Self> {
        let kind = CredentialKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let body = text.get(..text.len().checked_sub(CHECKSUM_LENGTH)?)?;
        let (id, secret) = body.strip_prefix(kind.prefix())?.split_once('_')?;
        let whole = id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH && text.ends_with(&checksum(body));
        whole.then_some(Self { kind, id, secret })
    }

    /// Whether this is the secret with that hash. Takes the same time for any wrong one.
    pub fn matches(&self, secret_hash: &str) -> bool {
        matches(self.secret, secret_hash)
    }
}

/// A secret that signs: HMAC-SHA256 (RFC 2104), its key the UTF-8 of the text. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SigningSecret(pub String);

impl SigningSecret {
    /// The signature of a message: 64 hex digits.
    pub fn sign(&self, message: &str) -> String {
        hex(&self.mac(message).finalize().into_bytes())
    }

    /// Whether that is the signature of the message, in hex of either case. Takes the same time for any wrong one.
    pub fn verifies(&self, message: &str, signature: &str) -> bool {
        self.sign(message).as_bytes().ct_eq(signature.to_ascii_lowercase().as_bytes()).into()
    }

    fn mac(&self, message: &str) -> Hmac<Sha256> {
        let mac = Hmac::new_from_slice(self.0.as_bytes());
        let mut mac = mac.unwrap_or_else(|error| unreachable!("HMAC takes keys of any length: {error}"));
        mac.update(message.as_bytes());
        mac
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// 256 random bits as text: for cookies and one-time links.
pub fn random_secret(ids: &dyn IdSource) -> String {
    random_base32::<32>(ids)
}

/// A key for a webhook: 256 random bits, in the form of Standard Webhooks.
pub fn webhook_key(ids: &dyn IdSource) -> SigningKey {
    let mut bytes = [0; 32];
    ids.fill(&mut bytes);
    SigningKey(format!("whsec_{}", BASE64.encode(&bytes)))
}

/// SHA-256 of a secret, hex.
pub fn hash(secret: &str) -> String {
    sha256_hex([secret.as_bytes()])
}

/// SHA-256 of all parts, one after the other; hex.
pub(crate) fn sha256_hex<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    parts.into_iter().for_each(|part| hasher.update(part));
    hex(&hasher.finalize())
}

/// Whether `secret` has that hash. Takes the same time for any wrong one.
pub fn matches(secret: &str, secret_hash: &str) -> bool {
    hash(secret).as_bytes().ct_eq(secret_hash.as_bytes()).into()
}

fn checksum(body: &str) -> String {
    base32(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

fn random_base32<const BYTES: usize>(ids: &dyn IdSource) -> String {
    let mut bytes = [0; BYTES];
    ids.fill(&mut bytes);
    base32(&bytes)
}

/// RFC 4648 base32, lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #[test]
    fn signatures_are_rfc_4231s() {
        // Test case 2.
        let secret = SigningSecret("Jefe".to_owned());
        let signature = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(secret.sign("what do ya want for nothing?"), signature);
        assert!(secret.verifies("what do ya want for nothing?", &signature.to_uppercase()));
        for (message, signature) in [("what", signature), ("what do ya want for nothing?", "5bdc"), ("", "")] {
            assert!(!secret.verifies(message, signature), "{message}");
        }
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
    }

    use super::*;
    use crate::testing::SeededIds;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        // The test vectors of its section 10, lower-cased and without padding.
        for (bytes, text) in
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_credential_reads_back() {
        let ids = SeededIds::default();
        for kind in CredentialKind::ALL {
            let new = NewCredential::mint(kind, &ids);
            assert_eq!(new.text.len(), 4 + 16 + 1 + 52 + 7, "{}", new.text);
            let presented = Presented::parse(&new.text).unwrap();
            assert_eq!((presented.kind, presented.id), (kind, new.id.as_str()));
            assert!(presented.matches(&new.secret_hash));
            assert!(!new.text.contains(&new.secret_hash));
            let other = NewCredential::mint(kind, &ids);
            assert!(!presented.matches(&other.secret_hash));
            assert!(!presented.matches(""));
        }
    }

    #[test]
    fn one_wrong_character_anywhere_is_noticed() {
        let text = NewCredential::mint(CredentialKind::Token, &SeededIds::default()).text;
        for index in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[index] = if wrong[index] == b'a' { b'b' } else { b'a' };
            assert_eq!(Presented::parse(std::str::from_utf8(&wrong).unwrap()), None, "character {index}");
            assert_eq!(Presented::parse(&text[..index]), None, "cut at {index}");
        }
        for odd in ["", "tgp_", "tgp__", "tgx_a_b", "é", &format!("{text}a"), &format!(" {text}"), &text.to_uppercase()]
        {
            assert_eq!(Presented::parse(odd), None, "{odd}");
        }
    }
}
