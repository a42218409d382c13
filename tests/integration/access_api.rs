//! Who gets in, and what they may do there: through the real router.

mod http;
mod matrix;
mod people;
mod sign_in;
mod tokens;
