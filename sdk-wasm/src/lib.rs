//! The core of the JavaScript SDK: the evaluator and the sync machine of every other SDK, compiled to WebAssembly.
//!
//! An [`Engine`] is one client without its I/O: JavaScript owns the socket, the timer and the clock, tells the engine what
//! happened, and does what the returned effects say. The npm package `tidegate`, in this folder, is that JavaScript.
//!
//! An evaluation crosses the boundary with numbers only: a flag's handle and a prepared [`EvaluationContext`] go in, the id
//! of a value comes out, which JavaScript looks up among the values that it has seen since the last change. Everything
//! else crosses as text: it is rare.

#![deny(missing_docs)]

mod context;
mod effect;
mod engine;
mod events;

pub use context::EvaluationContext;
pub use engine::Engine;
