//! The first commands on a new connection, before it is handed to JavaScript's thread.

use std::io;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::config::Config;
use super::scripts;

/// Arguments of `CLIENT KILL` that name one connection.
pub type KillFilter = [String; 4];

/// Does the handshake over a second handle of the socket, with the client of redis-rs, which reads no further than the
/// replies. Dropping that client closes the handle, not the connection. `previous` names the connection before
/// this one, and afterwards this one, where the server can name connections (Redis 6.2 and later).
///
/// Gives whether the server sends invalidations over the connection.
///
/// # Errors
/// When the connection is lost, or the server rejects the user, the database or the name.
pub async fn greet(
    config: &Config,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    previous: &mut Option<KillFilter>,
) -> Result<bool, RedisError> {
    let settings = AsyncConnectionConfig::new().set_response_timeout(Some(config.command_timeout));
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(config.address.redis_settings(), stream, settings)
            .await?;
    tokio::select! {
        () = driver => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        greeted = commands(config, &mut connection, previous) => greeted,
    }
}

async fn commands(
    config: &Config,
    connection: &mut MultiplexedConnection,
    previous: &mut Option<KillFilter>,
) -> Result<bool, RedisError> {
    if let Some(name) = &config.name {
        let mut naming = redis::cmd("CLIENT");
        naming.arg("SETNAME").arg(name);
        let _: () = naming.query_async(connection).await?;
    }
    if let Some(filter) = previous.take() {
        // The client repeats commands of the previous connection on this one, so that those which the server has not
        // read yet must never execute. A server that does not permit CLIENT KILL may still execute them.
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg(&filter[..]);
        let _: Result<Value, _> = kill.query_async(connection).await;
    }
    *previous = kill_filter(connection).await;
    // Where the server does not permit this, the client sends the text of a script when it is needed.
    let mut loading = redis::pipe();
    for text in scripts::texts() {
        loading.cmd("SCRIPT").arg("LOAD").arg(text).ignore();
    }
    let _: Result<(), _> = loading.query_async(connection).await;
    if config.cache.is_none() {
        return Ok(false);
    }
    let mut track = redis::cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("NOLOOP");
    let tracking: Result<Value, _> = track.query_async(connection).await;
    Ok(tracking.is_ok())
}

/// The filter names both the id and the address: after a restart of the server, the id may be that of another client.
async fn kill_filter(connection: &mut MultiplexedConnection) -> Option<KillFilter> {
    let info: Result<String, _> = redis::cmd("CLIENT")
        .arg("INFO")
        .query_async(connection)
        .await;
    let info = info.ok()?;
    let part = |name: &str| {
        let mut parts = info.split_whitespace();
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let (id, addr) = part("id").zip(part("addr"))?;
    Some(["ID", id, "ADDR", addr].map(str::to_owned))
}
