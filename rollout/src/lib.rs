//! Progressive rollouts: what is to be done next, as a pure function of what is wanted, what is, and what was seen.
//!
//! ```text
//! Spec ─────┐
//! Status ───┼─► plan ─► Decision, Reason, the next Status
//! Tally ────► judge ┐   │
//! Readings ─► judge ┴─► Observation
//! ```
//!
//! Nothing here looks at a clock, a database or a network: the server's controller does, and carries out what is planned.
#![deny(missing_docs)]

pub mod chances;
pub mod evidence;
pub mod gate;
mod moment;
pub mod plan;
pub mod preview;
pub mod reading;
pub mod simulation;
pub mod spec;
pub mod status;
pub mod tally;
pub mod traffic;
pub mod window;

#[cfg(test)]
mod scenarios;

pub use self::{
    gate::{Judgement, Verdict, judge},
    plan::{Decision, Observation, Plan, Reason, Waiting, plan},
    spec::{
        Bound, Direction, EventGate, Gate, Limit, OnHarm, QueryGate, Severity, Spec, SpecError, Step, Test, Watched,
    },
    status::{Bake, Refusal, State, Status},
    tally::{Arms, Exposed, Tally},
    window::Window,
};
