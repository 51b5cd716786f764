//! The client: what an operation uses to have commands executed.
//!
//! It queues commands for the connections, and repeats those whose connection was lost, where they may be executed
//! twice.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;

use redis::{Arg, Cmd, RedisWrite as _, Value};
use uuid::Uuid;

use super::arguments::joined;
use super::config::Config;
use super::connection::{MAX_BUFFER, Pipeline};
use super::connector::{Connector, Status};
use super::counters::Counters;
use super::errors::{Failure, Response, checked};
use super::scripts::Script;
use crate::error::{Error, Kind, Result};
use crate::store::executor::RunQueue;

/// How often a command is sent whose connection is lost.
const ATTEMPTS: usize = 3;

/// The commands that are queued for one connection, and the connector that establishes it.
pub struct CommandQueue {
    /// Establishes the connection.
    pub connector: Arc<Connector>,
    /// The queued commands.
    pub pipeline: RefCell<Pipeline>,
    run_queue: Rc<RunQueue>,
}

impl CommandQueue {
    /// Queues a command, and gives its reply. The connection executes commands in the order of these calls.
    pub fn request(&self, command: &Cmd) -> impl Future<Output = Response> + use<> {
        let queued = if let Status::Down(error) = self.connector.status() {
            Err(Failure::NotSent(error))
        } else {
            let (responder, response) = self.run_queue.response();
            self.pipeline.borrow_mut().push(command, responder);
            Ok(response)
        };
        async move { queued?.await }
    }

    /// Drops the queued commands; the operations get `error`.
    pub fn refuse(&self, error: &Error) {
        for responder in self.pipeline.take().into_responders() {
            responder.respond(Err(Failure::NotSent(error.clone())));
        }
    }
}

/// See the module.
pub struct Client {
    /// The options.
    pub config: Arc<Config>,
    /// A queue for each connection.
    pub queues: Vec<CommandQueue>,
    /// Where the operations get their responses from.
    pub run_queue: Rc<RunQueue>,
    /// The field of a session that has the sequence number of this writer's last write: `~` and the writer.
    pub writer: String,
    /// Statistics.
    pub counters: Arc<Counters>,
    /// The buffer in which a command is made.
    scratch: RefCell<Cmd>,
}

impl Client {
    /// A client that queues commands for the connections of `connectors`. It is a new writer.
    pub fn new(
        config: Arc<Config>,
        connectors: impl IntoIterator<Item = Arc<Connector>>,
        counters: Arc<Counters>,
    ) -> Self {
        let run_queue = Rc::<RunQueue>::default();
        let queue = |connector| CommandQueue {
            connector,
            pipeline: RefCell::default(),
            run_queue: Rc::clone(&run_queue),
        };
        Self {
            config,
            queues: connectors.into_iter().map(queue).collect(),
            writer: format!("~{}", &Uuid::new_v4().simple().to_string()[..12]),
            counters,
            scratch: RefCell::default(),
            run_queue,
        }
    }

    /// The queue for the key or value `name`. It is always the same one, so that commands for one name stay in order.
    pub fn queue(&self, name: &str) -> &CommandQueue {
        if let [only] = &*self.queues {
            return only;
        }
        let hash = foldhash::fast::FixedState::default().hash_one(name);
        let index = usize::try_from(hash % self.queues.len() as u64).unwrap_or(0);
        &self.queues[index]
    }

    /// How many connections there are now.
    pub fn up(&self) -> usize {
        let is_up = |queue: &&CommandQueue| queue.connector.status() == Status::Up;
        self.queues.iter().filter(is_up).count()
    }

    /// The Redis key without the store's prefix.
    pub fn name<'a>(&self, redis_key: &'a str) -> &'a str {
        redis_key
            .strip_prefix(self.config.prefix.as_str())
            .unwrap_or(redis_key)
    }

    /// Queues the command that `fill` makes, for the connection of `name`.
    fn request<'a>(
        &'a self,
        name: &str,
        fill: &dyn Fn(&mut Cmd),
    ) -> impl Future<Output = Response> + use<'a> {
        let command = &mut *self.scratch.borrow_mut();
        command.clear();
        fill(command);
        let response = self.queue(name).request(command);
        let is_large = |argument: Arg<&[u8]>| matches!(argument, Arg::Simple(bytes) if bytes.len() > MAX_BUFFER);
        if command.args_iter().any(is_large) {
            *command = Cmd::new();
        }
        response
    }

    /// Sends the command `verb` for the Redis key of `name`, once. `more` adds its other arguments.
    pub fn once<'a>(
        &'a self,
        verb: &str,
        name: &str,
        more: &dyn Fn(&mut Cmd),
    ) -> impl Future<Output = Response> + use<'a> {
        self.request(name, &|command| {
            command.write_arg(verb.as_bytes());
            joined(command, &self.config.prefix, name);
            more(command);
        })
    }

    /// Sends the command `verb` for the Redis key of `name`, again when its connection is lost: for commands that may
    /// be executed twice. `more` adds its other arguments.
    ///
    /// # Errors
    /// The error of the connection or of the server.
    pub async fn send(&self, verb: &str, name: &str, more: &dyn Fn(&mut Cmd)) -> Result<Value> {
        self.repeated(name, || self.once(verb, name, more)).await
    }

    /// Repeats `request`, which is for the connection of `name`, when that is lost: up to [`ATTEMPTS`] times in all.
    ///
    /// # Errors
    /// The error of the connection or of the server. It is in doubt if any attempt may have been executed: also where the
    /// last one was not sent, or the server refused it.
    pub async fn repeated<R>(&self, name: &str, request: impl Fn() -> R) -> Result<Value>
    where
        R: Future<Output = Response>,
    {
        let mut attempt = 1;
        loop {
            match request().await {
                Err(Failure::InDoubt(error))
                    if attempt < ATTEMPTS && error.kind == Kind::Unavailable =>
                {
                    attempt += 1;
                }
                reply => {
                    let reply = reply
                        .map_err(Error::from)
                        .and_then(|reply| checked(name, reply));
                    return reply.map_err(|error| error.maybe_done_if(attempt > 1));
                }
            }
        }
    }

    /// Sends a `PING` over each connection.
    ///
    /// # Errors
    /// The first error.
    pub async fn ping(&self) -> Result<()> {
        for queue in &self.queues {
            checked("", queue.request(&redis::cmd("PING")).await?)?;
        }
        Ok(())
    }

    /// Runs a script, by its digest; with its text where the server does not have it. The script's keys are the Redis
    /// keys of `primary` and `keys`; `arguments` adds what comes after them. A script must recognise that it runs
    /// again, since it is repeated when the connection is lost.
    ///
    /// # Errors
    /// The error of the connection or of the server.
    pub async fn script(
        &self,
        script: &Script,
        primary: &str,
        keys: &[&str],
        arguments: &dyn Fn(&mut Cmd),
    ) -> Result<Value> {
        let request = |verb: &str, script: &str| {
            self.request(primary, &|command| {
                command.arg(verb).arg(script).arg(keys.len() + 1);
                for name in std::iter::once(&primary).chain(keys) {
                    joined(command, &self.config.prefix, name);
                }
                arguments(command);
            })
        };
        let by_digest = || request("EVALSHA", &script.digest);
        match self.repeated(primary, by_digest).await {
            Err(error) if error.kind == Kind::Store && error.message.starts_with("NOSCRIPT") => {
                // A server that was restarted has forgotten the script, and may have executed it before.
                let reply = self.repeated(primary, || request("EVAL", &script.text));
                let reply = reply.await;
                reply.map_err(|later| later.maybe_done_if(error.in_doubt))
            }
            reply => reply,
        }
    }
}
