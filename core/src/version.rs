//! Semantic versions, compared without allocating.
