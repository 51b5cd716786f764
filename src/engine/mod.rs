//! Operations in, completions out: sessions kept in order, over any store.
//!
//! Each operation has a number of the caller's choice. [`Engine`] answers it at once when it can (an unchanged save,
//! anything in memory), otherwise with [`Engine::drain`].
//!
//! [`Engine`] composes parts that each own their state:
//!
//! - `queues`: the operations of each session, in the order of the calls; `operation` is one of them;
//! - `in_flight`: what the store has been sent and has not answered;
//! - `pending_writes`: the write-behind queue, of what the store could not take;
//! - `near_cache`: the near cache;
//! - `breaker`: whether the store can be asked;
//! - `deadlines`: which callers wait, and how long;
//! - `statistics`: what the store has answered, and how fast.
//!
//! An operation comes in by `submit`, which has `prepare` make a store operation of it; `replies` takes the answer, which
//! `outcome` applies to the record. A write whose reply was lost is kept and repeated by `in_doubt`. While the store fails
//! `write_behind` queues what it can't take and `projected` answers loads; `compaction` drops what need not be written of a
//! session that ends meanwhile. `closing` ends everything.

mod breaker;
mod closing;
mod compaction;
mod core;
mod deadlines;
mod environment;
mod in_doubt;
mod in_flight;
mod near_cache;
mod operation;
mod outcome;
mod pending_writes;
mod prepare;
mod projected;
mod queues;
mod replies;
mod statistics;
mod submit;
mod write_behind;

pub use self::core::{Engine, Settings};
pub use crate::session::Shared;
pub use deadlines::Completion;
pub use environment::Environment;
pub use near_cache::Size;
pub use operation::{SaveMode, Value};
pub use pending_writes::Limits;

#[cfg(test)]
mod tests;
