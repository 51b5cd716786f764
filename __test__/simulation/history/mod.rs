//! A history: random operations of several processes on a session or two, with random faults between them and the server,
//! all of it from one number. A plan is made first and then played, so that parts of it can be left out.

mod dialogs;
mod end;
mod faults;
mod log;
mod operations;
mod plan;
mod play;

pub use dialogs::tag;
pub use log::{Entry, Final, described};
pub use plan::{JOINED, JOINED_SESSION, Pause, Plan, Setup, What};
pub use play::play;
