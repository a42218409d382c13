//! A shop with thousands of customers: asks flags that are being rolled out, and measures what goes wrong.
//!
//! The new review summaries are as good as the old ones; the payment fallback is not. `cargo xtask run` starts it beside the server:
//!
//! ```text
//! TIDEGATE_SDK_KEY=tgs_… cargo run --example traffic
//! ```
//!
//! With `-- --faulty FLAG` it asks that flag instead, and a customer for whom it is on meets an `error` seven times as often.
//!
//! `TIDEGATE_URL` is `http://localhost:8580` unless set. It ends with its standard input: with the server that started it.

use std::time::Duration;

use tidegate::{Client, Context};
use tokio::time::{MissedTickBehavior, interval};

/// How many customers come by, in turns.
const CUSTOMERS: u64 = 5_000;

/// How many of them in each hundredth of a second.
const AT_ONCE: u64 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("TIDEGATE_URL").unwrap_or_else(|_| "http://localhost:8580".to_owned());
    let key = std::env::var("TIDEGATE_SDK_KEY").map_err(|_| "set TIDEGATE_SDK_KEY to a server key (tgs_…)")?;
    let args: Vec<_> = std::env::args().skip(1).collect();
    let releases = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => vec![
            Release::healthy("review-summaries", "summary-error"),
            Release::faulty("payment-fallback", "payment-error"),
        ],
        ["--faulty", flag] => vec![Release::faulty(flag, "error")],
        _ => return Err("say nothing more, or `--faulty FLAG`".into()),
    };
    // Told every second, as the steps of the demo take half a minute.
    let flags = Client::builder(&url, &key).telemetry_interval(Duration::from_secs(1)).connect()?;
    std::thread::spawn(|| {
        // An input that cannot be read has ended, too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let customers: Vec<_> = (0..CUSTOMERS).map(|n| Context::new(format!("customer-{n}"))).collect();
    let mut visits = 0_u64;
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        for _ in 0..AT_ONCE {
            // A step that shares no divisor with their number: all come by, in no visible order.
            let customer = usize::try_from(visits.wrapping_mul(1_999) % CUSTOMERS).ok().and_then(|n| customers.get(n));
            visits += 1;
            if let Some(customer) = customer {
                for release in &releases {
                    release.meet(&flags, customer, visits);
                }
            }
        }
    }
}

/// What is behind a flag.
struct Release<'a> {
    flag: &'a str,
    /// What is measured when something goes wrong.
    metric: &'a str,
    /// So often something goes wrong with the new variant: of a thousand visits.
    chance: u64,
}

/// So often something goes wrong with the old variant: of a thousand visits.
const USUAL: u64 = 20;

impl<'a> Release<'a> {
    fn healthy(flag: &'a str, metric: &'a str) -> Self {
        Self { flag, metric, chance: USUAL }
    }

    fn faulty(flag: &'a str, metric: &'a str) -> Self {
        Self { flag, metric, chance: 150 }
    }

    fn meet(&self, flags: &Client, customer: &Context, visit: u64) {
        let chance = if flags.bool(self.flag, false, customer) { self.chance } else { USUAL };
        if goes_wrong(self.metric, visit, chance) {
            flags.track(self.metric, customer, None);
        }
    }
}

/// With this chance in a thousand, and the same each time.
fn goes_wrong(what: &str, visit: u64, chance: u64) -> bool {
    let luck = what
        .bytes()
        .fold(visit, |luck, byte| (luck ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23));
    luck % 1_000 < chance
}
