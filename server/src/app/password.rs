//! Passwords: argon2id, off the runtime's threads and a few at a time.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use super::AppError;
use crate::ports::{IdSource, store::StoreError};

/// The shortest password. Length is what counts (NIST SP 800-63B §3.1.1): no rules about kinds of characters.
pub const MIN_PASSWORD_CHARACTERS: usize = 12;

/// The longest password, so that nobody makes us hash megabytes.
pub const MAX_PASSWORD_CHARACTERS: usize = 256;

/// Each hash takes 19 MiB and some 20 ms of a core: this many at once, whoever asks.
static HASHING: Semaphore = Semaphore::const_new(4);

/// A hash that no password has, of the same cost as the real ones: checked where there is no user, so that the answer
/// takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2Q$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether a new password may be used; `field` names it in the error.
///
/// # Errors
/// [`AppError::Invalid`].
pub fn check_new(password: &str, field: &str) -> Result<(), AppError> {
    let characters = password.chars().count();
    if characters < MIN_PASSWORD_CHARACTERS {
        let detail =
            format!("a password has at least {MIN_PASSWORD_CHARACTERS} characters: three random words will do");
        return Err(AppError::invalid(field, detail));
    }
    if characters > MAX_PASSWORD_CHARACTERS {
        return Err(AppError::invalid(field, format!("a password has at most {MAX_PASSWORD_CHARACTERS} characters")));
    }
    Ok(())
}

/// The hash of a password as a PHC string, with a fresh salt.
///
/// # Errors
/// [`AppError::Store`] where hashing itself fails: no memory.
pub async fn hash(password: &str, ids: &dyn IdSource) -> Result<String, AppError> {
    let mut salt = [0; 16];
    ids.fill(&mut salt);
    let password = password.to_owned();
    off_thread(move || {
        let hash = argon2id().hash_password_with_salt(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|error| internal(error.to_string()))
    })
    .await?
}

/// Whether the password has that hash. Without a hash the answer is no, and takes as long.
///
/// # Errors
/// [`AppError::Store`] where hashing itself fails.
pub async fn verify(password: &str, hash: Option<&str>) -> Result<bool, AppError> {
    // A password that is too long to have been set costs nothing.
    if password.len() > 4 * MAX_PASSWORD_CHARACTERS {
        return Ok(false);
    }
    let (password, hash) = (password.to_owned(), hash.unwrap_or(NOBODY).to_owned());
    off_thread(move || argon2id().verify_password(password.as_bytes(), hash.as_str()).is_ok()).await
}

/// The parameters that OWASP's password storage cheat sheet gives for argon2id: 19 MiB, two passes, one lane.
fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    let _permit = HASHING.acquire().await.map_err(|error| internal(error.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| internal(error.to_string()))
}

fn internal(message: String) -> AppError {
    StoreError::Internal(message.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededIds;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let ids = SeededIds::default();
        let hash = hash("correct horse battery", &ids).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify("correct horse battery", Some(&hash)).await.unwrap());
        assert!(!verify("correct horse batterz", Some(&hash)).await.unwrap());
        assert!(!verify("correct horse battery", Some("damaged")).await.unwrap());
        assert_ne!(hash, super::hash("correct horse battery", &ids).await.unwrap(), "salted");
    }

    #[tokio::test]
    async fn nobody_costs_as_much_and_has_no_password() {
        let nobody = argon2::PasswordHash::new(NOBODY).unwrap();
        let somebody = hash("correct horse battery", &SeededIds::default()).await.unwrap();
        assert_eq!(nobody.params, argon2::PasswordHash::new(&somebody).unwrap().params);
        assert!(!verify("", None).await.unwrap());
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        for (password, accepted) in
            [("", false), ("elevenchars", false), ("twelve chars", true), ("äöüäöüäöüäöü", true)]
        {
            assert_eq!(check_new(password, "/password").is_ok(), accepted, "{password}");
        }
        assert!(check_new(&"a".repeat(257), "/password").is_err());
    }
}
