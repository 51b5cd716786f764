//! The options of `RedisStore`.

use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::engine::{Limits, Size};
use crate::error::Result;
use crate::store::options::Options;

/// The options, with defaults filled in.
#[derive(Debug)]
pub struct Config {
    /// Address, user, password and database.
    pub address: ConnectionInfo,
    /// What every Redis key begins with.
    pub prefix: String,
    /// The number of connections.
    pub pool_size: usize,
    /// The longest time for establishing a connection, with its handshake.
    pub connect_timeout: Duration,
    /// The longest time from a command to its reply.
    pub command_timeout: Duration,
    /// The name for `CLIENT SETNAME`: printable ASCII without spaces.
    pub name: Option<String>,
    /// The TTL of what is saved without one of its own, ms.
    pub ttl: Option<u64>,
    /// The limits of the write-behind queue.
    pub limits: Limits,
    /// The limits of the near cache; `None` without one.
    pub cache: Option<Size>,
}

const CACHE: Size = Size {
    max: 64 << 20,
    ttl: Duration::from_secs(60),
};

/// One day, in ms, as other session stores have it: longer than any call, and short enough for sessions whose BYE is
/// lost.
pub const DEFAULT_TTL: u64 = 86_400_000;

impl Config {
    /// Reads the options; see `RedisStoreOptions` in `index.d.ts`.
    ///
    /// # Errors
    /// `Option` when an option is unknown or has a value that cannot be used.
    pub fn new(options: &str) -> Result<Self> {
        let mut options = Options::new("RedisStore", options)?;
        let address = address(&mut options)?;
        let config = Self {
            address,
            prefix: options.text("prefix")?.unwrap_or_else(|| "sess:".into()),
            pool_size: usize::try_from(options.whole("poolSize", 1, 64)?.unwrap_or(1)).unwrap_or(1),
            connect_timeout: options.millis("connectTimeout", 5000)?,
            command_timeout: options.millis("commandTimeout", 2000)?,
            name: options.filled("name")?,
            ttl: Some(options.seconds("ttl")?.unwrap_or(DEFAULT_TTL)),
            limits: limits(&mut options)?,
            cache: cache(&mut options)?,
        };
        if let Some(name) = config
            .name
            .as_ref()
            .filter(|name| !name.bytes().all(|byte| (b'!'..=b'~').contains(&byte)))
        {
            return Err(options.error(format!(
                "`name` must have printable characters without spaces, not {name:?}"
            )));
        }
        options.finish()?;
        Ok(config)
    }
}

fn limits(options: &mut Options) -> Result<Limits> {
    let default = Limits::default();
    let size = |given: Option<u64>, default| {
        given.map_or(default, |given| usize::try_from(given).unwrap_or(default))
    };
    Ok(Limits {
        count: size(options.whole("maxQueue", 1, 1 << 32)?, default.count),
        bytes: size(options.whole("maxQueueBytes", 1, 1 << 40)?, default.bytes),
    })
}

fn cache(options: &mut Options) -> Result<Option<Size>> {
    let Some(mut given) = options.nested("cache", "RedisStore: `cache`")? else {
        return Ok(None);
    };
    let max = given.whole("max", 1024, 1 << 40)?;
    let ttl = given.seconds("ttl")?;
    given.finish()?;
    Ok(Some(Size {
        max: max.map_or(CACHE.max, |max| usize::try_from(max).unwrap_or(CACHE.max)),
        ttl: ttl.map_or(CACHE.ttl, Duration::from_millis),
    }))
}

fn address(options: &mut Options) -> Result<ConnectionInfo> {
    let url = options.filled("url")?;
    let host = options.filled("host")?;
    let port = options.whole("port", 1, 65_535)?;
    let socket = options.filled("socket")?;
    let username = options.filled("username")?;
    let (pass, password) = (options.text("pass")?, options.text("password")?);
    let db = options.whole("db", 0, i64::MAX as u64)?;

    let addresses = [
        url.is_some(),
        host.is_some() || port.is_some(),
        socket.is_some(),
    ];
    if addresses.iter().filter(|given| **given).count() > 1 {
        return Err(options.error("give either `url`, or `host` and `port`, or `socket`"));
    }
    if pass.is_some() && password.is_some() {
        return Err(options.error("`pass` is another name of `password`: give one of them"));
    }
    let address = match (&url, socket) {
        (Some(url), _) if url.starts_with("rediss:") || url.starts_with("valkeys:") => {
            return Err(options.error(
                "TLS (rediss://) is not supported; put a TLS tunnel in front, or use redis://",
            ));
        }
        (Some(url), _) => url.as_str().into_connection_info().map_err(|why| {
            options.error(format!(
                "`url` must look like redis://[user:password@]host[:port][/db]: {why}"
            ))
        })?,
        (None, Some(path)) => plain(options, ConnectionAddr::Unix(path.into()))?,
        (None, None) => {
            let port = port
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(6379);
            plain(
                options,
                ConnectionAddr::Tcp(host.unwrap_or_else(|| "localhost".into()), port),
            )?
        }
    };
    let mut redis = address
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    if let Some(username) = username {
        redis = redis.set_username(username);
    }
    if let Some(password) = password.or(pass).filter(|password| !password.is_empty()) {
        redis = redis.set_password(password);
    }
    if let Some(db) = db {
        redis = redis.set_db(i64::try_from(db).unwrap_or(i64::MAX));
    }
    let tcp = address.tcp_settings().clone().set_nodelay(true);
    Ok(address.set_redis_settings(redis).set_tcp_settings(tcp))
}

fn plain(options: &Options, address: ConnectionAddr) -> Result<ConnectionInfo> {
    address
        .into_connection_info()
        .map_err(|why| options.error(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(options: &str) -> String {
        Config::new(options).expect_err("a bad option").message
    }

    #[test]
    fn options_that_connect_redis_has_too() {
        let given =
            r#"{"host":"10.0.0.1","port":6380,"prefix":"","ttl":60,"db":3,"pass":"secret"}"#;
        let config = Config::new(given).expect("good options");
        assert_eq!(
            config.address.addr(),
            &ConnectionAddr::Tcp("10.0.0.1".into(), 6380)
        );
        assert_eq!(
            (
                config.address.redis_settings().db(),
                config.ttl,
                config.prefix.as_str()
            ),
            (3, Some(60_000), "")
        );
        assert_eq!(config.address.redis_settings().password(), Some("secret"));
    }

    #[test]
    fn a_url_with_other_options() {
        let config =
            Config::new(r#"{"url":"redis://u:p@[::1]:7000/2","db":5}"#).expect("good options");
        assert_eq!(config.address.redis_settings().username(), Some("u"));
        assert_eq!(config.address.redis_settings().db(), 5);
    }

    #[test]
    fn bad_options_say_what_is_wrong() {
        assert!(message(r#"{"url":"http://x"}"#).contains("`url` must look like redis://"));
        assert!(message(r#"{"url":"redis://x","host":"y"}"#).contains("either `url`"));
        assert!(message(r#"{"url":"rediss://x"}"#).contains("TLS"));
        assert!(message(r#"{"db":-1}"#).contains("`db` must be a whole number"));
        assert!(message(r#"{"name":"two words"}"#).contains("`name`"));
        assert!(message(r#"{"ttl":0}"#).contains("`ttl`"));
        assert!(message(r#"{"pass":"a","password":"b"}"#).contains("`pass`"));
        assert!(message(r#"{"cache":1}"#).contains("`cache`"));
        assert!(message(r#"{"cache":{"max":1}}"#).contains("`cache`: `max`"));
        assert!(message(r#"{"client":{}}"#).contains("there is no option `client`"));
    }
}
