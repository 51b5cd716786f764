//! What the JavaScript side does on top of the engine: sessions with their data objects, `update()`, and requests on their
//! way through the middleware. It follows `lib/` function by function; all that touches the engine's operations and the
//! records is here.

mod data;
mod find;
mod process;
mod request;
mod session;
mod store;
mod update;

pub use data::{Changes, get};
pub use process::Process;
pub use request::Request;
pub use session::Session;
pub use store::Store;
