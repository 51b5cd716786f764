//! The only module that knows Node-API: converts arguments and results, and delegates.
//!
//! JavaScript has handles of engines and records, and passes them to functions, because a method of a native class costs
//! more. An error has its code in `code`.
//!
//! - `stores`: an engine over each store; `engine`: its operations; `completions`: what it does besides;
//! - `record`: one session; `rules`; `constants`;
//! - `values`: arguments and results; `exports` and `node_api`: what napi-rs does more slowly; `event_loop`: sockets.

// napi-rs passes strings and handles by value. The module `engine` documents the errors of operations.
#![allow(clippy::needless_pass_by_value, clippy::missing_errors_doc)]

pub mod completions;
pub mod constants;
pub mod engine;
mod event_loop;
pub mod exports;
mod node_api;
pub mod record;
pub mod rules;
pub mod stores;
mod values;
