//! The simulated `RedisStore`: operations as commands, as `src/store/redis` has them, over the connections of
//! `network.rs`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use drachtio_session::error::{Error, Kind, Result};
use drachtio_session::session::{
    Create, Destroy, Document, NamedKey, Patch, RemoveKey, Saved, Stored, UUID_PREFIX, Update,
    fields, leg, short_uuid,
};
use drachtio_session::store::{Answers, Backend, Event, Failed, Reply, StoreOp};

use crate::network::{Asked, Failure, FromServer, Network, Request, Standing};
use crate::server::{self, Command, Fields, Mode, Pairs, Save, Text, joined};
use crate::tasks::Tasks;

/// How often a command is sent whose connection is lost.
const ATTEMPTS: usize = 3;

type Answered = (u32, std::result::Result<Reply, Failed>);

/// What the operations of a process share.
pub struct Client {
    network: Rc<RefCell<Network>>,
    host: usize,
    tasks: Tasks,
    /// `~` and its name.
    writer: Text,
}

/// What was reported of the connections.
#[derive(Default)]
struct Reported {
    up: bool,
    tracking: bool,
    errors: BTreeSet<&'static str>,
}

/// See the module.
pub struct SimulatedRedis {
    client: Rc<Client>,
    done: Rc<RefCell<Vec<Answered>>>,
    reported: Reported,
    /// The names that were invalidated; `None` stands for all.
    changed: Vec<Option<Text>>,
}

impl SimulatedRedis {
    pub fn new(network: Rc<RefCell<Network>>, host: usize, writer: &str) -> Self {
        let client = Client {
            network,
            host,
            tasks: Tasks::default(),
            writer: joined("~", writer),
        };
        Self {
            client: Rc::new(client),
            done: Rc::default(),
            reported: Reported::default(),
            changed: Vec::new(),
        }
    }

    /// Ends what is under way, as the process does.
    pub fn crash(&self) {
        self.client.tasks.clear();
    }

    /// Reads what has come.
    fn receive(&mut self) {
        let mut net = self.client.network.borrow_mut();
        let net = &mut *net;
        let host = self.client.host;
        for number in 0..net.hosts[host].connections.len() {
            let connection = &mut net.hosts[host].connections[number];
            if let Some(Err(error)) = connection.outcome.take() {
                for (_, answer) in std::mem::take(&mut connection.queue) {
                    answer.give(Err(Failure::Refused(error.clone())));
                }
            }
            if connection.standing != Standing::Up {
                continue;
            }
            let mut lost = None;
            for message in std::mem::take(&mut connection.inbox) {
                match message {
                    FromServer::Reply(reply) => {
                        let asked = net.hosts[host].connections[number].asked.pop_front();
                        if let Some((answer, _)) = asked {
                            answer.give(Ok(reply));
                        }
                    }
                    FromServer::Invalidate(invalidation) => {
                        net.say(|| format!("p{host} hears that {} has changed", invalidation.key));
                        self.changed.push(Some(Rc::clone(&invalidation.key)));
                        if let Some((uuid, version)) = invalidation.session {
                            let floor = net.hosts[host].floor.entry(uuid).or_default();
                            *floor = (*floor).max(version);
                        }
                    }
                    FromServer::Closed(error) => {
                        lost = Some(error);
                        break;
                    }
                }
            }
            let now = net.passes(host, net.now());
            let timeout = net.hosts[host].command_timeout;
            let since = net.hosts[host].connections[number].asked.front();
            let since = since.map(|(_, since)| *since);
            if since.is_some_and(|since| net.passes(host, since) + timeout <= now) {
                lost = lost.or_else(|| Some(Error::new(Kind::Timeout, "no answer in time")));
            }
            if let Some(error) = lost {
                self.changed.push(None);
                net.lose(host, number, &error);
            }
        }
    }

    /// What has happened since this was asked last.
    fn events(&mut self) -> Vec<Event> {
        let mut news = Vec::new();
        if self.changed.iter().any(Option::is_none) {
            news.push(Event::Changed(Vec::new()));
        } else if !self.changed.is_empty() {
            let names = self.changed.iter().flatten();
            news.push(Event::Changed(names.map(ToString::to_string).collect()));
        }
        self.changed.clear();
        let mut net = self.client.network.borrow_mut();
        let host = &mut net.hosts[self.client.host];
        if !std::mem::take(&mut host.changed) {
            return news;
        }
        let reported = &mut self.reported;
        let tracking = host
            .connections
            .iter()
            .all(|connection| connection.tracking);
        if tracking != reported.tracking {
            reported.tracking = tracking;
            news.push(Event::Tracking(tracking));
        }
        let up = host
            .connections
            .iter()
            .all(|connection| connection.standing == Standing::Up);
        let mut lost = false;
        for connection in &mut host.connections {
            lost |= std::mem::take(&mut connection.was_lost);
        }
        if (lost || !up) && reported.up {
            let why = Error::new(Kind::Unavailable, "the connection to Redis was lost");
            news.push(Event::Disconnect(why));
            reported.up = false;
        }
        for connection in &host.connections {
            if let Standing::Down(error) = &connection.standing
                && reported.errors.insert(error.kind.code())
            {
                news.push(Event::Error(error.clone()));
            }
        }
        if up && !reported.up {
            reported.errors.clear();
            news.push(Event::Connect);
        }
        reported.up = up;
        news
    }
}

impl Backend for SimulatedRedis {
    fn submit(&mut self, ticket: u32, mut op: StoreOp) -> Option<Result<Reply>> {
        if matches!(op, StoreOp::Close) {
            self.client.network.borrow_mut().close(self.client.host);
            return Some(Ok(Reply::Done));
        }
        let client = Rc::clone(&self.client);
        let done = Rc::clone(&self.done);
        self.client.tasks.start(async move {
            let reply = client.execute(&mut op).await;
            let reply = reply.map_err(|error| Failed {
                error,
                op: Box::new(op),
            });
            done.borrow_mut().push((ticket, reply));
        });
        None
    }

    fn flush(&mut self) {
        self.client.tasks.run();
        let mut net = self.client.network.borrow_mut();
        net.send(self.client.host);
        if !self.done.borrow().is_empty() {
            net.wake(self.client.host);
        }
    }

    fn take(&mut self) -> Answers {
        self.receive();
        self.client.tasks.run();
        let replies = self.done.take();
        Answers {
            replies,
            events: self.events(),
        }
    }
}

/// An error that the server answered with.
fn checked(reply: server::Reply) -> Result<server::Reply> {
    let server::Reply::Error(code) = reply else {
        return Ok(reply);
    };
    let kind = match code {
        "LOADING" => Kind::Unavailable,
        "READONLY" | "OOM" => Kind::Refused,
        _ => Kind::Store,
    };
    Err(Error::new(kind, code))
}

fn strange(reply: &server::Reply) -> Error {
    Error::new(Kind::Store, format!("an unexpected answer: {reply:?}"))
}

fn unreadable(why: serde_json::Error) -> Error {
    Error::corrupt("", why)
}

impl Client {
    async fn execute(&self, op: &mut StoreOp) -> Result<Reply> {
        match op {
            StoreOp::Load { name } => {
                let found = self.load(name).await?;
                Ok(Reply::Loaded(found.map(Box::new)))
            }
            StoreOp::Create(create) => self.create(create).await.map(Reply::Saved),
            StoreOp::Update(update) => self.update(update).await,
            StoreOp::RemoveKey(remove) => {
                let (left, version) = self.remove_key(remove).await?;
                Ok(Reply::Removed { left, version })
            }
            StoreOp::Destroy(destroy) => {
                self.destroy(destroy).await?;
                Ok(Reply::Removed {
                    left: 0,
                    version: 0,
                })
            }
            StoreOp::Ping => {
                let connections = self.network.borrow().hosts[self.host].connections.len();
                for number in 0..connections {
                    checked(self.ask(number, Command::Ping, false).await?)?;
                }
                Ok(Reply::Done)
            }
            _ => Ok(Reply::Done),
        }
    }

    async fn ask(&self, number: usize, command: Command, by_digest: bool) -> Asked {
        let coming = {
            let connection = &mut self.network.borrow_mut().hosts[self.host].connections[number];
            if let Standing::Down(error) = &connection.standing {
                return Err(Failure::Refused(error.clone()));
            }
            let (answer, coming) = self.tasks.ask();
            let request = Request { command, by_digest };
            connection.queue.push_back((request, answer));
            coming
        };
        coming.await
    }

    /// A command on the connection of `name`, again when that is lost.
    async fn repeated(
        &self,
        name: &str,
        command: &Command,
        by_digest: bool,
    ) -> Result<server::Reply> {
        let connections = self.network.borrow().hosts[self.host].connections.len();
        let number = name.bytes().map(usize::from).sum::<usize>() % connections;
        let mut attempt = 1;
        loop {
            match self.ask(number, command.clone(), by_digest).await {
                Err(Failure::Lost(error))
                    if attempt < ATTEMPTS && error.kind == Kind::Unavailable =>
                {
                    attempt += 1;
                }
                // An attempt before this one may have been done.
                reply => {
                    let reply = reply.map_err(Error::from).and_then(checked);
                    return reply.map_err(|error| error.maybe_done_if(attempt > 1));
                }
            }
        }
    }

    async fn script(&self, primary: &str, command: Command) -> Result<server::Reply> {
        match self.repeated(primary, &command, true).await {
            Err(error) if error.kind == Kind::Store && error.message == "NOSCRIPT" => {
                let reply = self.repeated(primary, &command, false).await;
                reply.map_err(|later| later.maybe_done_if(error.in_doubt))
            }
            reply => reply,
        }
    }

    async fn hash(&self, name: &Text) -> Result<Pairs> {
        match self
            .repeated(name, &Command::HGetAll(Rc::clone(name)), false)
            .await?
        {
            server::Reply::Hash(fields) => Ok(fields),
            other => Err(strange(&other)),
        }
    }

    async fn load(&self, name: &Text) -> Result<Option<Stored>> {
        let (pointer, session) = self.parse(name, &self.hash(name).await?)?;
        let session = match pointer {
            Some(primary) => self.parse(&primary, &self.hash(&primary).await?)?.1,
            None => session,
        };
        Ok(session.filter(|session| session.keys.iter().any(|key| key.name == *name)))
    }

    /// The pointer in a hash, and the session that is stored in it.
    fn parse(&self, name: &Text, hash: &Pairs) -> Result<(Option<Text>, Option<Stored>)> {
        let wall = self.network.borrow().wall(self.host);
        parse(name, hash, wall)
    }

    async fn create(&self, create: &mut Create) -> Result<Saved> {
        loop {
            let reply = self.first(create).await?;
            match reply {
                server::Reply::Taken(taken) => {
                    for index in taken {
                        create.rename(index);
                    }
                }
                server::Reply::Int(-1) if !create.displaced => {
                    create.primary = format!("{}#{}", create.primary, create.uuid).into();
                    create.displaced = true;
                }
                reply => {
                    let is_elsewhere = create.displaced || !create.renamed.is_empty();
                    return Ok(Saved {
                        primary: is_elsewhere.then(|| Rc::clone(&create.primary)),
                        renamed: create.renamed.clone(),
                        ..saved(&reply, &create.uuid)?
                    });
                }
            }
        }
    }

    async fn first(&self, create: &Create) -> Result<server::Reply> {
        let write = &create.write;
        let text = write.change.result.text();
        let set = properties(&fields::split(&text).map_err(unreadable)?);
        let joins = create.join && !create.displaced;
        let save = Save {
            primary: Rc::clone(&create.primary),
            uuid: short_uuid(&create.uuid).into(),
            mode: if joins { Mode::Join } else { Mode::Create },
            ttl: write.ttl.unwrap_or(0),
            by: format!("{} {}", &self.writer[1..], create.sequence).into(),
            expected: None,
            added: added(&write.keys),
            takes: takes(&write.keys),
            others: Vec::new(),
            stamp: Some((Rc::clone(&self.writer), create.sequence)),
            fields: self.fields(set, Vec::new(), write.ttl),
        };
        self.script(&create.primary, Command::Save(Rc::new(save)))
            .await
    }

    fn fields(&self, properties: Pairs, deleted: Vec<Text>, ttl: Option<u64>) -> Fields {
        let wall = self.network.borrow().wall(self.host);
        let mut set = vec![("ttl".into(), format!("{}@{wall}", ttl.unwrap_or(0)).into())];
        set.extend(properties);
        Fields { set, deleted }
    }

    /// The fields that a patch sets and deletes.
    fn changes(&self, patch: &Patch, ttl: Option<u64>) -> Result<Fields> {
        let changes = patch.changes().map_err(unreadable)?;
        let deleted = changes.removed.iter().map(|name| joined(".", name));
        Ok(self.fields(properties(&changes.set), deleted.collect(), ttl))
    }

    async fn update(&self, update: &mut Update) -> Result<Reply> {
        loop {
            let reply = self.changes_of(update).await?;
            match reply {
                server::Reply::Taken(taken) => {
                    for index in taken {
                        update.rename(index);
                    }
                }
                server::Reply::Conflict(hash) => {
                    let (_, found) = self.parse(&update.primary, &hash)?;
                    return found.map_or_else(
                        || Err(Error::gone(&update.uuid)),
                        |found| Ok(Reply::Conflict(Box::new(found))),
                    );
                }
                reply => {
                    return Ok(Reply::Saved(Saved {
                        renamed: update.renamed.clone(),
                        ..saved(&reply, &update.uuid)?
                    }));
                }
            }
        }
    }

    async fn changes_of(&self, update: &Update) -> Result<server::Reply> {
        let write = &update.write;
        let others = update.known.iter().filter(|name| {
            **name != update.primary && !write.keys.iter().any(|new| new.name == **name)
        });
        let expected = update.expected.as_ref();
        let save = Save {
            primary: Rc::clone(&update.primary),
            uuid: short_uuid(&update.uuid).into(),
            mode: Mode::Update,
            ttl: write.ttl.unwrap_or(0),
            by: "".into(),
            expected: expected.map(|expected| (expected.version, expected.reserve)),
            added: added(&write.keys),
            takes: takes(&write.keys),
            others: others.cloned().collect(),
            stamp: (update.sequence > 0).then(|| (Rc::clone(&self.writer), update.sequence)),
            fields: self.changes(&write.change.patch, write.ttl)?,
        };
        self.script(&update.primary, Command::Save(Rc::new(save)))
            .await
    }

    async fn remove_key(&self, remove: &mut RemoveKey) -> Result<(u64, u64)> {
        if remove.of.is_none() {
            let found = self.load(&remove.name).await?;
            remove.of = found.map(|found| (found.uuid.into(), found.primary));
        }
        let Some((uuid, primary)) = &remove.of else {
            return Ok((0, 0));
        };
        let write = remove.write.as_ref();
        let fields = write.map(|write| self.changes(&write.change.patch, remove.ttl));
        let command = server::Remove {
            primary: Rc::clone(primary),
            uuid: short_uuid(uuid).into(),
            writer: Rc::clone(&self.writer),
            sequence: remove.sequence,
            name: Rc::clone(&remove.name),
            ttl: remove.ttl.unwrap_or(0),
            fields: fields.transpose()?,
        };
        match self
            .script(primary, Command::Remove(Rc::new(command)))
            .await?
        {
            server::Reply::Int(0) => Ok((0, 0)),
            server::Reply::Pair(left, version) => Ok((left, version)),
            other => Err(strange(&other)),
        }
    }

    async fn destroy(&self, destroy: &Destroy) -> Result<()> {
        let command = server::Destroy {
            primary: Rc::clone(&destroy.primary),
            uuid: short_uuid(&destroy.uuid).into(),
            writer: Rc::clone(&self.writer),
            known: destroy.known.clone(),
        };
        let reply = self
            .script(&destroy.primary, Command::Destroy(Rc::new(command)))
            .await?;
        let server::Reply::Names(names) = reply else {
            return Ok(());
        };
        for name in names {
            if !destroy.known.contains(&name) {
                let command = server::Remove {
                    primary: Rc::clone(&destroy.primary),
                    uuid: short_uuid(&destroy.uuid).into(),
                    writer: Rc::clone(&self.writer),
                    sequence: 0,
                    name,
                    ttl: 0,
                    fields: None,
                };
                self.script(&destroy.primary, Command::Remove(Rc::new(command)))
                    .await?;
            }
        }
        Ok(())
    }
}

/// What lives at a name, as `HGETALL` gives it; see [`Client::parse`].
pub fn parse(name: &Text, hash: &Pairs, wall: u64) -> Result<(Option<Text>, Option<Stored>)> {
    let mut session = Stored {
        uuid: String::new(),
        primary: Rc::clone(name),
        keys: Vec::new(),
        document: Document::default(),
        version: 0,
        renewal_due: false,
        renewal_due_in: None,
        renewal_due_at: None,
    };
    let mut pointer = None;
    let mut properties = Vec::with_capacity(hash.len());
    for (field, value) in hash {
        if let Some(name) = field.strip_prefix('.') {
            properties.push((name, &**value));
        } else if let Some(name) = field.strip_prefix('@') {
            let (leg, resource) = leg::split(value);
            session.keys.push(NamedKey {
                leg: leg.map(Into::into),
                resource: resource.map(str::to_owned),
                ..NamedKey::plain(name.into())
            });
        } else {
            match &**field {
                "->" => pointer = Some(Rc::clone(value)),
                "uuid" => session.uuid = [UUID_PREFIX, value].concat(),
                "version" => session.version = value.parse().unwrap_or(0),
                "ttl" => {
                    let parts = value.split_once('@');
                    let parts = parts.map(|(ttl, at)| (ttl.parse::<i64>(), at.parse::<i64>()));
                    if let Some((Ok(ttl), Ok(at))) = parts
                        && ttl > 0
                    {
                        let left = at + ttl / 2 - wall.cast_signed();
                        session.renewal_due = left < 0;
                        session.renewal_due_in = u64::try_from(left).ok();
                    }
                }
                _ => {}
            }
        }
    }
    if session.uuid.is_empty() {
        let is_ours =
            hash.is_empty() || pointer.is_some() || hash.iter().any(|(name, _)| **name == *"gone");
        return if is_ours {
            Ok((pointer, None))
        } else {
            Err(Error::corrupt(name, "the hash has no field `uuid`"))
        };
    }
    fields::order(&mut properties);
    session.document = fields::join(properties).into();
    Ok((pointer, Some(session)))
}

fn properties(of: &[fields::Field<'_>]) -> Pairs {
    of.iter()
        .map(|(name, value)| (joined(".", name), (*value).into()))
        .collect()
}

fn added(keys: &[NamedKey]) -> Vec<(Text, Text)> {
    keys.iter()
        .map(|key| {
            let value = leg::joined(key.leg.as_deref(), key.resource.as_deref());
            (Rc::clone(&key.name), value.into())
        })
        .collect()
}

fn takes(keys: &[NamedKey]) -> Vec<usize> {
    let tagged = |key: &NamedKey| leg::has_tag(key.leg.as_deref());
    let takes = keys
        .iter()
        .enumerate()
        .filter(|(_, key)| tagged(key) && !key.claims);
    takes.map(|(at, _)| at).collect()
}

fn saved(reply: &server::Reply, uuid: &str) -> Result<Saved> {
    match reply {
        server::Reply::Int(0) => Err(Error::gone(uuid)),
        server::Reply::Int(version) => Ok(Saved {
            version: version.unsigned_abs(),
            ..Saved::default()
        }),
        server::Reply::Joined(version, uuid) => Ok(Saved {
            version: *version,
            uuid: Some([UUID_PREFIX, uuid].concat()),
            ..Saved::default()
        }),
        other => Err(strange(other)),
    }
}
