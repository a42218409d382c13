//! Notifications: people hear of what happens to rollouts and flags, by webhook, Slack, PagerDuty and mail.
//!
//! The audit log is the outbox. The notifier reads it behind those who write it, makes notifications of the rows that matter
//! ([`tell`]), and enqueues one delivery for each channel that wants it, in the transaction that moves its cursor ([`notifier`]). So a
//! decision never waits for a message, and no crash loses one. Deliveries are sent a few at a time ([`senders`]), one for each channel,
//! and again later where that failed: at least once, under an id that never changes.

pub mod notifier;

pub mod tell;

pub mod mail;
mod pager_duty;
pub mod senders;
mod slack;
mod webhook;

pub use mail::Mailer;
pub use notifier::Notifier;
pub use senders::Senders;
