//! The store adapters: memory, SQLite, PostgreSQL.

mod memory;

pub use memory::MemoryStore;
