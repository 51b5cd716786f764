//! Each operation as Redis commands. One round trip each, but for what is rare; `docs/storage.md` lists them.

use std::io::Write as _;
use std::rc::Rc;
use std::sync::LazyLock;

use redis::{Arg, Cmd, RedisWrite, Script, ServerErrorKind, Value};

use super::client::Client;
use super::connection::KEPT;
use super::connector::Failure;
use super::executor::Asked;
use super::layout::{self, Found};
use super::save::{self, Fields};
use super::scan;
use crate::error::{Error, Kind, Result};
use crate::session::fields;
use crate::session::{Change, Destroy, Patch, RemoveKey, Stored, Update, Write};
use crate::store::{Reply, StoreOp};

/// How often a command is sent whose connection is lost. Only what may be done twice is, or has a sequence.
const ATTEMPTS: usize = 3;

/// A script: its text, and the digest that the server knows it by.
pub struct Known {
    text: String,
    digest: String,
}

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            // A script has a channel that says where it goes.
            let shared = include_str!("scripts/shared.lua");
            let text = include_str!(concat!("scripts/", $file)).replace("-- shared.lua", shared);
            let digest = Script::new(&text).get_hash().to_owned();
            Known { text, digest }
        })
    };
}

/// Stores a session, or what has changed of one.
pub static SAVE: LazyLock<Known> = script!("save.lua");
static REMOVE: LazyLock<Known> = script!("remove.lua");
static DESTROY: LazyLock<Known> = script!("destroy.lua");

/// The texts of all scripts.
pub fn scripts() -> impl Iterator<Item = &'static str> {
    [&SAVE, &REMOVE, &DESTROY]
        .into_iter()
        .map(|known| &*known.text)
}

/// Does `op`.
pub async fn execute(client: &Client, op: &mut StoreOp) -> Result<Reply> {
    match op {
        StoreOp::Load { name } => load(client, name)
            .await
            .map(|found| Reply::Loaded(found.map(Box::new))),
        StoreOp::Create(create) => save::create(client, create).await.map(Reply::Saved),
        StoreOp::Update(update) => save::update(client, update).await,
        StoreOp::RemoveKey(remove) => remove_key(client, remove)
            .await
            .map(|(left, version)| Reply::Removed { left, version }),
        StoreOp::Destroy(destroy) => {
            self::destroy(client, destroy)
                .await
                .map(|()| Reply::Removed {
                    left: 0,
                    version: 0,
                })
        }
        StoreOp::Get { name } => get(client, name).await.map(Reply::Text),
        StoreOp::Set { name, text, ttl } => {
            let ttl = *ttl;
            let more = |command: &mut Cmd| {
                command.write_arg(text.as_bytes());
                if let Some(ttl) = ttl {
                    command.arg("PX").arg(ttl);
                }
            };
            let reply = client.ask("SET", name, &more).await?;
            checked(name, reply).map(|_| Reply::Done)
        }
        // In boxes of their own: every operation takes as much room as the largest one.
        StoreOp::Delete { name } => Box::pin(delete(client, name)).await.map(|()| Reply::Done),
        StoreOp::Touch { name, ttl } => Box::pin(touch(client, name, *ttl))
            .await
            .map(|()| Reply::Done),
        StoreOp::Ids => scan::ids(client).await.map(Reply::Texts),
        StoreOp::All => scan::all(client).await.map(Reply::Texts),
        StoreOp::Length => scan::ids(client)
            .await
            .map(|ids| Reply::Count(ids.len() as u64)),
        StoreOp::Clear => scan::clear(client).await.map(|()| Reply::Done),
        StoreOp::Ping => client.ping().await.map(|()| Reply::Done),
        StoreOp::Close => Ok(Reply::Done),
    }
}

impl Client {
    /// The name that is stored at `redis_key`.
    pub fn name<'a>(&self, redis_key: &'a str) -> &'a str {
        redis_key
            .strip_prefix(self.config.prefix.as_str())
            .unwrap_or(redis_key)
    }

    /// Has the command that `fill` makes executed on the connector of `name`.
    fn request<'a>(
        &'a self,
        name: &str,
        fill: &dyn Fn(&mut Cmd),
    ) -> impl Future<Output = Asked> + use<'a> {
        let command = &mut *self.scratch.borrow_mut();
        command.clear();
        fill(command);
        let asking = self.of(name).request(command);
        let is_large =
            |argument: Arg<&[u8]>| matches!(argument, Arg::Simple(bytes) if bytes.len() > KEPT);
        if command.args_iter().any(is_large) {
            *command = Cmd::new();
        }
        asking
    }

    /// The command `verb` on the redis_key of `name`; `more` adds its other arguments.
    fn ask<'a>(
        &'a self,
        verb: &str,
        name: &str,
        more: &dyn Fn(&mut Cmd),
    ) -> impl Future<Output = Asked> + use<'a> {
        self.request(name, &|command| {
            command.write_arg(verb.as_bytes());
            joined(command, &self.config.prefix, name);
            more(command);
        })
    }

    /// The same, of what may be done twice: it is repeated when its connection is lost.
    pub async fn surely(&self, verb: &str, name: &str, more: &dyn Fn(&mut Cmd)) -> Result<Value> {
        self.repeated(name, || self.ask(verb, name, more)).await
    }

    /// What `ask` asks the connector of `name`, again when its connection is lost.
    pub async fn repeated<Asking>(&self, name: &str, ask: impl Fn() -> Asking) -> Result<Value>
    where
        Asking: Future<Output = Asked>,
    {
        let mut attempt = 1;
        loop {
            match ask().await {
                Err(Failure::Lost(error))
                    if attempt < ATTEMPTS && error.kind == Kind::Unavailable =>
                {
                    attempt += 1;
                }
                reply => return checked(name, reply?),
            }
        }
    }

    /// Whether all connections can be used.
    pub async fn ping(&self) -> Result<()> {
        for channel in &self.all {
            checked("", channel.request(&redis::cmd("PING")).await?)?;
        }
        Ok(())
    }

    /// A script, by its digest; with its text where the server does not know it (any more). `keys` are the names of
    /// redis_keys besides that of `primary`, `arguments` writes what comes after them.
    pub async fn script(
        &self,
        script: &Known,
        primary: &str,
        keys: &[&str],
        arguments: &dyn Fn(&mut Cmd),
    ) -> Result<Value> {
        let ask = |verb: &str, body: &str| {
            self.request(primary, &|command| {
                command.arg(verb).arg(body).arg(keys.len() + 1);
                for name in std::iter::once(&primary).chain(keys) {
                    joined(command, &self.config.prefix, name);
                }
                arguments(command);
            })
        };
        let known = || ask("EVALSHA", &script.digest);
        match self.repeated(primary, known).await {
            Err(error) if error.kind == Kind::Store && error.message.starts_with("NOSCRIPT") => {
                self.repeated(primary, || ask("EVAL", &script.text)).await
            }
            reply => reply,
        }
    }
}

/// Two texts as one argument.
pub fn joined(command: &mut Cmd, first: &str, second: &str) {
    let mut argument = command.writer_for_next_arg();
    // Writing to memory does not fail.
    let _ = argument
        .write_all(first.as_bytes())
        .and_then(|()| argument.write_all(second.as_bytes()));
}

/// An error that the server answered with, as ours.
pub fn checked(name: &str, reply: Value) -> Result<Value> {
    let Value::ServerError(error) = reply else {
        return Ok(reply);
    };
    let said = format!("{} {}", error.code(), error.details().unwrap_or_default());
    Err(match error.kind() {
        _ if said.contains("WRONGTYPE") => {
            Error::corrupt(name, "another type of value is stored there")
        }
        Some(ServerErrorKind::NoPerm) => Error::new(Kind::Auth, said),
        _ => match error.code() {
            "NOAUTH" => Error::new(Kind::Auth, said),
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "BUSY" | "MOVED" | "ASK" => {
                Error::new(Kind::Unavailable, said)
            }
            "READONLY" | "OOM" | "MISCONF" | "NOREPLICAS" | "TRYAGAIN" => {
                Error::new(Kind::Refused, said)
            }
            _ => Error::new(Kind::Store, said),
        },
    })
}

/// The session that has the key `name`.
pub async fn load(client: &Client, name: &str) -> Result<Option<Stored>> {
    let reply = client.surely("HGETALL", name, &|_| {}).await?;
    match layout::read(name, None, reply)? {
        Found::Nothing => Ok(None),
        Found::Session(found) => Ok(Some(*found)),
        Found::Elsewhere(redis_key) => {
            let primary = client.name(&redis_key);
            let reply = client.surely("HGETALL", primary, &|_| {}).await?;
            match layout::read(name, Some(primary), reply)? {
                Found::Session(found) => Ok(Some(*found)),
                Found::Nothing | Found::Elsewhere(_) => Ok(None),
            }
        }
    }
}

async fn remove_key(client: &Client, remove: &mut RemoveKey) -> Result<(u64, u64)> {
    if remove.of.is_none() {
        // Asked for again, it is that session all the same.
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
        taken_from(command, uuid, &client.writer, remove.sequence, &remove.name);
        command.arg(remove.ttl.unwrap_or(0));
        if let Some(fields) = &fields {
            fields.write(command);
        }
    };
    let strange = |reply: &str| {
        let message = format!("Redis answered a removal with {reply}");
        Err(Error::new(Kind::Store, message))
    };
    let elsewhere = (remove.name != *primary).then_some(&*remove.name);
    match client
        .script(&REMOVE, primary, elsewhere.as_slice(), &arguments)
        .await?
    {
        Value::Int(0) => Ok((0, 0)),
        Value::Array(parts) => match parts.as_slice() {
            [Value::Int(left), Value::Int(version)] => {
                Ok((left.unsigned_abs(), version.unsigned_abs()))
            }
            other => strange(&format!("{other:?}")),
        },
        other => strange(&format!("{other:?}")),
    }
}

/// The first arguments of `remove.lua`: a key named `name` is taken from the session `uuid`.
fn taken_from(command: &mut Cmd, uuid: &str, writer: &str, sequence: u64, name: &str) {
    command.write_arg(uuid.as_bytes());
    command.write_arg(writer.as_bytes());
    command.arg(sequence);
    joined(command, "@", name);
}

async fn destroy(client: &Client, destroy: &Destroy) -> Result<()> {
    let keys: Vec<&str> = destroy.known.iter().map(|name| &**name).collect();
    let arguments = |command: &mut Cmd| {
        command.write_arg(destroy.uuid.as_bytes());
        command.write_arg(client.writer.as_bytes());
    };
    let reply = client
        .script(&DESTROY, &destroy.primary, &keys, &arguments)
        .await?;
    let Value::Array(fields) = reply else {
        return Ok(());
    };
    for field in fields {
        // Keys that another process has added since this one looked.
        let Value::BulkString(field) = field else {
            continue;
        };
        let name = String::from_utf8_lossy(&field[1..]).into_owned();
        if !destroy.known.iter().any(|known| **known == *name) {
            let arguments = |command: &mut Cmd| {
                taken_from(command, &destroy.uuid, &client.writer, 0, &name);
                command.arg(0);
            };
            client
                .script(&REMOVE, &destroy.primary, &[&name], &arguments)
                .await?;
        }
    }
    Ok(())
}

async fn get(client: &Client, name: &str) -> Result<Option<String>> {
    match client.surely("GET", name, &|_| {}).await {
        Ok(Value::BulkString(text)) => String::from_utf8(text)
            .ok()
            .filter(|text| fields::check(text).is_ok())
            .map(Some)
            .ok_or_else(|| Error::corrupt(name, "it is not JSON text")),
        Ok(_) => Ok(None),
        // A hash: a session, or the pointer to one.
        Err(error) if error.kind == Kind::Corrupt => {
            Ok(load(client, name).await?.map(|found| found.envelope()))
        }
        Err(error) => Err(error),
    }
}

/// Starts a time to live anew: of a session with all of its keys, or of a value.
async fn touch(client: &Client, name: &str, ttl: Option<u64>) -> Result<()> {
    match load(client, name).await {
        Ok(Some(found)) => {
            let unchanged = Write {
                change: Change::new(found.document, Patch::default()),
                keys: Vec::new(),
                ttl,
            };
            let unchanged = Update {
                uuid: found.uuid.into(),
                primary: found.primary,
                write: Rc::new(unchanged),
                known: found.keys.into_iter().map(|(name, _)| name).collect(),
                expected: None,
                sequence: 0,
                repeated: false,
            };
            save::update(client, &unchanged).await.map(|_| ())
        }
        Err(error) if error.kind != Kind::Corrupt => Err(error),
        _ => {
            let verb = if ttl.is_some() { "PEXPIRE" } else { "PERSIST" };
            let more = |command: &mut Cmd| {
                command.arg(ttl);
            };
            client.surely(verb, name, &more).await.map(|_| ())
        }
    }
}

async fn delete(client: &Client, name: &str) -> Result<()> {
    match load(client, name).await {
        Ok(Some(found)) => {
            let known = found.keys.into_iter().map(|(name, _)| name).collect();
            let destroy = Destroy {
                uuid: found.uuid.into(),
                primary: found.primary,
                known,
            };
            self::destroy(client, &destroy).await
        }
        Err(error) if error.kind != Kind::Corrupt => Err(error),
        _ => client.surely("UNLINK", name, &|_| {}).await.map(|_| ()),
    }
}
