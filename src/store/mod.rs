//! The stores: `backend` is what the engine asks of a store, `memory`, `redis` and `javascript` do it. `options`
//! reads the options of a store, `executor` runs operations that take more than one step.

pub mod backend;
pub mod executor;
pub mod javascript;
pub mod memory;
pub mod options;
pub mod redis;

pub use backend::{Answers, Backend, Event, Failed, Reply, StoreOp, taken};
