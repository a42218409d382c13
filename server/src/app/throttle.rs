//! How often somebody may try to sign in.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock as GovernorClock, middleware::NoOpMiddleware, nanos::Nanos,
    state::keyed::DashMapStateStore,
};

use super::{AppError, secret};
use crate::ports::Clock;

/// Two token buckets per attempt: one of the account, one of the address it comes from. Both must have a token.
///
/// Whoever floods an account keeps its owner from signing in with the password for as long; sessions, tokens and
/// one-time links go on.
pub struct SignInThrottle {
    accounts: Bucket<String>,
    addresses: Bucket<IpAddr>,
}

type Bucket<K> = RateLimiter<K, DashMapStateStore<K>, PortClock, NoOpMiddleware<Nanos>>;

/// Ten attempts at an account, then one every half minute.
const ACCOUNT: (NonZeroU32, Duration) = (NonZeroU32::new(10).unwrap(), Duration::from_secs(30));
/// Thirty attempts from an address (offices share one), then one every five seconds.
const ADDRESS: (NonZeroU32, Duration) = (NonZeroU32::new(30).unwrap(), Duration::from_secs(5));

/// No more buckets than this: some 10 MB. Beyond it, nobody new gets a try until some have filled up.
const MAX_BUCKETS: usize = 100_000;

impl SignInThrottle {
    /// All buckets full.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let clock = PortClock(clock);
        Self { accounts: bucket(ACCOUNT, &clock), addresses: bucket(ADDRESS, &clock) }
    }

    /// Takes a token for an attempt at the account from the address.
    ///
    /// # Errors
    /// [`AppError::TooManyRequests`] with the time to wait.
    pub fn attempt(&self, account: &str, address: Option<IpAddr>) -> Result<(), AppError> {
        if let Some(address) = address {
            take(&self.addresses, &network(address))?;
        }
        // Hashed, as whoever dumps the memory need not learn who tried to sign in.
        take(&self.accounts, &secret::hash(&account.trim().to_lowercase()))
    }
}

fn bucket<K: Hash + Eq + Clone>((burst, every): (NonZeroU32, Duration), clock: &PortClock) -> Bucket<K> {
    let Some(quota) = Quota::with_period(every) else { unreachable!("the periods above are not zero") };
    RateLimiter::new(quota.allow_burst(burst), DashMapStateStore::default(), clock.clone())
}

fn take<K: Hash + Eq + Clone>(bucket: &Bucket<K>, key: &K) -> Result<(), AppError> {
    if bucket.len() >= MAX_BUCKETS {
        bucket.retain_recent();
        if bucket.len() >= MAX_BUCKETS {
            return Err(AppError::TooManyRequests { retry_after_s: 30 });
        }
    }
    bucket.check_key(key).map_err(|not_until| {
        let wait = not_until.wait_time_from(bucket.clock().now());
        AppError::TooManyRequests { retry_after_s: wait.as_secs() + 1 }
    })
}

/// Whoever has an IPv6 address has 2^64 of them: the network counts.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// Our clock, as governor wants it. One that is set back is believed to stand still.
#[derive(Clone)]
struct PortClock(Arc<dyn Clock>);

impl GovernorClock for PortClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let ms = u64::try_from(self.0.now().0).unwrap_or(0);
        Nanos::from(ms.saturating_mul(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_gets_ten_tries_and_then_one_every_half_minute() {
        let clock = Arc::new(ManualClock::default());
        let throttle = SignInThrottle::new(clock.clone());
        for _ in 0..10 {
            throttle.attempt("ada@example.org", None).unwrap();
        }
        let refused = throttle.attempt(" ADA@example.org", Some(ip("192.0.2.1"))).unwrap_err();
        let AppError::TooManyRequests { retry_after_s } = refused else { panic!("{refused}") };
        assert!((1..=31).contains(&retry_after_s), "{retry_after_s}");
        throttle.attempt("bob@example.org", None).unwrap();
        clock.advance_ms(i64::try_from(retry_after_s).unwrap() * 1_000);
        throttle.attempt("ada@example.org", None).unwrap();
        assert!(throttle.attempt("ada@example.org", None).is_err());
    }

    #[test]
    fn an_address_gets_thirty_tries_at_whatever_accounts() {
        let throttle = SignInThrottle::new(Arc::new(ManualClock::default()));
        for n in 0..30 {
            throttle.attempt(&format!("{n}@example.org"), Some(ip(&format!("2001:db8::{n}")))).unwrap();
        }
        assert!(throttle.attempt("ada@example.org", Some(ip("2001:db8::ffff"))).is_err(), "the same network");
        throttle.attempt("ada@example.org", Some(ip("2001:db9::1"))).unwrap();
    }
}
