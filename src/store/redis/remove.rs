//! Removes keys and sessions, with `remove.lua` and `destroy.lua`.

use redis::{Cmd, RedisWrite, Value};

use super::arguments::{Fields, joined};
use super::client::Client;
use super::load::load;
use super::scripts::{DESTROY, REMOVE};
use crate::error::{Error, Kind, Result};
use crate::session::{Destroy, RemoveKey, short_uuid};

/// Removes a key from its session, and with the last key the session. Gives how many keys are left, and the version
/// written then; `(0, 0)` if the session is gone.
///
/// Without `remove.of` it loads the session that has the key, and notes it there: a repeated operation must not remove
/// the key from another session.
///
/// # Errors
/// `Corrupt` when the data is not a JSON object; the error of the connection or of the server.
pub async fn remove_key(client: &Client, remove: &mut RemoveKey) -> Result<(u64, u64)> {
    if remove.of.is_none() {
        let found = load(client, &remove.name).await?;
        remove.of = found.map(|found| (found.uuid.into(), found.primary));
    }
    let Some((uuid, primary)) = &remove.of else {
        return Ok((0, 0));
    };
    let unreadable = |why| Error::corrupt(primary, why);
    let fields = match &remove.write {
        None => None,
        Some(write) => Some(Fields {
            changes: write.change.patch.changes().map_err(unreadable)?,
            keys: &[],
            stamp: None,
            ttl: remove.ttl,
        }),
    };
    let arguments = |command: &mut Cmd| {
        removal(command, uuid, &client.writer, remove.sequence, &remove.name);
        command.arg(remove.ttl.unwrap_or(0));
        if let Some(fields) = &fields {
            fields.write(command);
        }
    };
    let unexpected = |reply: &str| {
        let message = format!("remove.lua replied with {reply}");
        Err(Error::new(Kind::Store, message))
    };
    let pointer = (remove.name != *primary).then_some(&*remove.name);
    match client
        .script(&REMOVE, primary, pointer.as_slice(), &arguments)
        .await?
    {
        Value::Int(0) => Ok((0, 0)),
        Value::Array(parts) => match parts.as_slice() {
            [Value::Int(left), Value::Int(version)] => {
                Ok((left.unsigned_abs(), version.unsigned_abs()))
            }
            other => unexpected(&format!("{other:?}")),
        },
        other => unexpected(&format!("{other:?}")),
    }
}

/// Adds the first arguments of `remove.lua`: removes the key `name` from the session `uuid`.
fn removal(command: &mut Cmd, uuid: &str, writer: &str, sequence: u64, name: &str) {
    command.write_arg(short_uuid(uuid).as_bytes());
    command.write_arg(writer.as_bytes());
    command.arg(sequence);
    joined(command, "@", name);
}

/// Removes a session with all of its keys, also those that another process has added.
///
/// # Errors
/// The error of the connection or of the server.
pub async fn destroy(client: &Client, destroy: &Destroy) -> Result<()> {
    let keys: Vec<&str> = destroy.known.iter().map(|name| &**name).collect();
    let arguments = |command: &mut Cmd| {
        command.write_arg(short_uuid(&destroy.uuid).as_bytes());
        command.write_arg(client.writer.as_bytes());
    };
    let reply = client
        .script(&DESTROY, &destroy.primary, &keys, &arguments)
        .await?;
    let Value::Array(fields) = reply else {
        return Ok(());
    };
    for field in fields {
        // The field of a key. The script could not remove the pointers of keys that this process does not know.
        let Value::BulkString(field) = field else {
            continue;
        };
        let name = String::from_utf8_lossy(&field[1..]).into_owned();
        if !destroy.known.iter().any(|known| **known == *name) {
            let arguments = |command: &mut Cmd| {
                removal(command, &destroy.uuid, &client.writer, 0, &name);
                command.arg(0);
            };
            client
                .script(&REMOVE, &destroy.primary, &[&name], &arguments)
                .await?;
        }
    }
    Ok(())
}
