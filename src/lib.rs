//! The native engine of drachtio-session, which keeps the sessions of SIP dialogs.
//!
//! The modules, from the outside in:
//!
//! - [`binding`] exports functions to JavaScript. It converts arguments and results and delegates; no other module knows
//!   Node-API.
//! - [`rules`] says what a SIP message means for its session: facts in, a plan out.
//! - [`engine`] takes operations, executes those of one session in order, and gives completions. Its parts own the session
//!   queues, the write-behind queue, the near cache, the breaker, the deadlines and the statistics.
//! - [`session`] is one session: its record, its data, and the patches that change it.
//! - [`store`] says what the engine asks of a store, and has the stores: memory, Redis, JavaScript.
//! - [`error`] has every failure with its stable code.
//!
//! `rules` and `session` are pure. The engine gets the time and its hash seed from outside, so that a simulation can run
//! it. `docs/architecture.md` maps the files, `docs/glossary.md` defines the terms.

pub mod binding;
pub mod engine;
pub mod error;
pub mod rules;
pub mod session;
pub mod store;

/// An operation allocates many small things: names, texts, a future, an answer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
