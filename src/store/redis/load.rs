//! Loads a session by one of its keys.

use super::client::Client;
use super::layout::{self, Found};
use crate::error::Result;
use crate::session::Stored;

/// The session that has the key `name`: one `HGETALL`, and another one where that finds a pointer.
///
/// # Errors
/// `Corrupt` when something else is stored there; the error of the connection or of the server.
pub async fn load(client: &Client, name: &str) -> Result<Option<Stored>> {
    let reply = client.send("HGETALL", name, &|_| {}).await?;
    match layout::read(name, None, reply)? {
        Found::Nothing => Ok(None),
        Found::Session(found) => Ok(Some(*found)),
        Found::Pointer(redis_key) => {
            let primary = client.name(&redis_key);
            let reply = client.send("HGETALL", primary, &|_| {}).await?;
            match layout::read(name, Some(primary), reply)? {
                Found::Session(found) => Ok(Some(*found)),
                Found::Nothing | Found::Pointer(_) => Ok(None),
            }
        }
    }
}
