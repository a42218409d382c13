//! Bounds on what one evaluation may cost, whatever the configuration says. Compiling reports what is beyond them.

/// How deep groups of conditions nest.
pub(crate) const NESTING: usize = 16;

/// How long a chain of prerequisites, or of segments that use segments, is: evaluation recurses along it.
pub(crate) const CHAIN: u32 = 64;

/// What one evaluation may cost in the worst case, prerequisites and segments included; a test of a condition costs
/// about 1, a few nanoseconds. Without it, a chain in which each flag needs the next one twice takes 2^64 steps.
pub(crate) const COST: u32 = 100_000;

/// The cost of matching one regular expression.
pub(crate) const REGEX_COST: u32 = 100;

/// The longest pattern, in bytes, and the most steps that it may become.
pub(crate) const PATTERN_BYTES: usize = 1_024;
pub(crate) const PATTERN_STEPS: usize = 2_048;

/// The longest text that is matched with a regular expression, which takes time in proportion to text and steps.
pub(crate) const MATCHED_BYTES: usize = 8 * 1024;

/// The longest text that an operand, targeting key or segment member has.
pub(crate) const TEXT_BYTES: usize = 4 * 1024;

/// The most keys that a segment lists as included or excluded, and that the targets of a flag list together.
pub(crate) const MEMBERS: usize = 1_000_000;
