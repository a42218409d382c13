//! The command line: `tidegate serve`, `migrate`, `user`, `token`, `key`, `flags`, `audit`, `evaluate`, `explain`.
