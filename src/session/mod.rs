//! One session, without any store: its record, the patches that change it, and what is written of it. Pure: no clock, no
//! randomness, no input or output.
//!
//! - `record` is one session as this process knows it;
//! - `stored` is what a store has of a session, and what it is asked to write;
//! - `writes` turns it into what a store is asked to write, and takes the reply in;
//! - `fields` splits JSON text into top-level properties, compares, merges and joins them.

pub mod fields;
mod record;
mod stored;
mod writes;

pub use record::*;
pub use stored::*;
pub use writes::Written;
