//! The native engine of drachtio-session: sessions of SIP dialogs, kept in order, stored as differences.
//!
//! The map, from the outside in:
//!
//! - [`binding`] is the only module that knows Node-API: it converts arguments and results and delegates.
//! - [`rules`] decides what a SIP message means for its session: facts in, a plan out.
//! - [`engine`] takes operations, keeps those of one session in order, and hands completions back.
//! - [`session`] is one session, without any store: its record, and the patches that change it.
//! - [`store`] is what a store must do, with the memory, Redis and JavaScript stores in it.
//! - [`error`] has every failure with its stable code.
//!
//! `docs/architecture.md` tells the life of a call through them, `docs/storage.md` what is stored.

pub mod binding;
pub mod engine;
pub mod error;

pub mod rules;
pub mod session;
pub mod store;

/// An operation allocates many small things: names, texts, a future, an answer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
