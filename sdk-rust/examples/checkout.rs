//! A shop that asks three flags at every checkout, and says when the answers change.
//!
//! ```text
//! TIDEGATE_SDK_KEY=tgs_… cargo run --example checkout
//! ```
//!
//! `TIDEGATE_URL` is `http://localhost:8580` unless set. Toggle or kill `new-checkout` in the UI, and watch; stop the
//! server, and watch it go on.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tidegate::{Changed, Client, Context, Event, Timestamp};

/// What a customer sees.
#[derive(Clone, PartialEq)]
struct Checkout {
    is_new: bool,
    button_color: String,
    free_shipping_from: f64,
}

impl Checkout {
    fn of(flags: &Client, customer: &Context) -> Self {
        Self {
            is_new: flags.bool("new-checkout", false, customer),
            button_color: flags.string("checkout-button-color", "gray", customer).into(),
            free_shipping_from: flags.number("free-shipping-threshold", 50.0, customer),
        }
    }
}

impl std::fmt::Display for Checkout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let which = if self.is_new { "NEW" } else { "old" };
        write!(f, "{which} checkout, {} button, free shipping from {}", self.button_color, self.free_shipping_from)
    }
}

/// Some of the shop's customers, who come by again and again.
fn customers() -> Vec<(&'static str, Context)> {
    [("ada", "NZ", "pro"), ("grace", "US", "free"), ("linus", "FI", "free"), ("margaret", "US", "pro")]
        .into_iter()
        .map(|(name, country, plan)| (name, Context::new(name).with("country", country).with("plan", plan)))
        .collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let url = std::env::var("TIDEGATE_URL").unwrap_or_else(|_| "http://localhost:8580".to_owned());
    let key = std::env::var("TIDEGATE_SDK_KEY").map_err(|_| "set TIDEGATE_SDK_KEY to a server key (tgs_…)")?;

    let flags = Client::builder(&url, &key).connect()?;
    match flags.wait_ready(Duration::from_secs(5)).await {
        Ok(_) => say("connected", &url),
        Err(not_ready) => say("waiting", &format!("{not_ready}; until then the defaults are served")),
    }

    let mut events = flags.events();
    let customers = customers();
    let mut seen = BTreeMap::new();
    let mut checkouts = tokio::time::interval(Duration::from_millis(500));
    let mut next = customers.iter().cycle();
    show_all(&flags, &customers, &mut seen);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    tell(&event);
                    show_all(&flags, &customers, &mut seen);
                }
                None => break,
            },
            _ = checkouts.tick() => {
                if let Some((name, customer)) = next.next() {
                    show(&flags, name, customer, &mut seen);
                }
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    flags.close().await;
    Ok(())
}

fn show_all(flags: &Client, customers: &[(&'static str, Context)], seen: &mut BTreeMap<&'static str, Checkout>) {
    for (name, customer) in customers {
        show(flags, name, customer, seen);
    }
}

/// One checkout; a line where it differs from the customer's last one.
fn show(flags: &Client, name: &'static str, customer: &Context, seen: &mut BTreeMap<&'static str, Checkout>) {
    let checkout = Checkout::of(flags, customer);
    if seen.get(name) != Some(&checkout) {
        say(name, &checkout.to_string());
        seen.insert(name, checkout);
    }
}

fn tell(event: &Event) {
    match event {
        Event::Ready => say("ready", "in step with the server"),
        Event::Stale => say("stale", "the server is away; the shop goes on with what it has"),
        Event::Error => say("error", "the server has been away for 10 s; the shop still goes on"),
        Event::Fatal => say("fatal", "the server refuses the key; the shop still goes on"),
        Event::ConfigurationChanged(changed) => tell_change(changed),
        _ => {}
    }
}

fn tell_change(changed: &Changed) {
    let flags: Vec<_> = changed.flags.iter().map(ToString::to_string).collect();
    let segments: Vec<_> = changed.segments.iter().map(|key| format!("segment {key}")).collect();
    let what = if changed.killed { "KILLED" } else { "changed" };
    let age = changed.changed_at.and_then(age_ms);
    let age = age.map_or_else(String::new, |age| format!(", {age} ms after the server accepted it"));
    say(what, &format!("{}{age}", [flags, segments].concat().join(", ")));
}

/// How long ago that was, where both clocks are of one machine. A change of yesterday is no news.
#[expect(clippy::disallowed_methods, reason = "an application may look at the clock")]
fn age_ms(changed_at: Timestamp) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let age = i64::try_from(now.as_millis()).ok()?.checked_sub(changed_at.0)?;
    (0..60_000).contains(&age).then_some(age)
}

#[expect(clippy::print_stdout, reason = "this is what the example is for")]
fn say(who: &str, what: &str) {
    println!("{who:>9}  {what}");
}
