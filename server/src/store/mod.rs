//! The store adapters: memory, SQLite, PostgreSQL.
