//! A Redis in memory, as far as `RedisStore` uses it: hashes that expire, the three scripts of `src/store/redis/scripts`,
//! and tracking in the default mode with NOLOOP. The functions are the scripts line by line; `agreement.rs` compares them
//! with a real server.

use std::collections::BTreeMap;
use std::rc::Rc;

use drachtio_session::session::UUID_PREFIX;

/// A process and one of its connections.
pub type Client = (usize, usize);

/// How long a tombstone is kept, ms.
pub const TOMBSTONE: u64 = 60_000;

/// How long a write reservation lasts, ms.
const RESERVATION: u64 = 50;

pub type Text = Rc<str>;
pub type Pairs = Vec<(Text, Text)>;

/// What a client asks.
#[derive(Debug, Clone)]
pub enum Command {
    HGetAll(Text),
    Save(Rc<Save>),
    Remove(Rc<Remove>),
    Destroy(Rc<Destroy>),
    Ping,
}

/// The arguments of `save.lua`.
#[derive(Debug, Default)]
pub struct Save {
    pub primary: Text,
    pub uuid: Text,
    pub mode: Mode,
    /// ms, 0 for none.
    pub ttl: u64,
    /// Of a first save what the field `by` is to be.
    pub by: Text,
    /// Of a conditional save the version, and whether the writer reserves the next one.
    pub expected: Option<(u64, bool)>,
    /// The names of the keys that are added, each with its leg and resource.
    pub added: Vec<(Text, Text)>,
    /// The indices of those that take their names also from another dialog.
    pub takes: Vec<usize>,
    /// The other keys.
    pub others: Vec<Text>,
    /// The writer and the sequence number.
    pub stamp: Option<(Text, u64)>,
    pub fields: Fields,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Create,
    Join,
    Update,
}

/// Fields to be set, besides keys and the stamp, and to be deleted.
#[derive(Debug, Default)]
pub struct Fields {
    pub set: Pairs,
    pub deleted: Vec<Text>,
}

/// The arguments of `remove.lua`.
#[derive(Debug)]
pub struct Remove {
    pub primary: Text,
    pub uuid: Text,
    pub writer: Text,
    /// 0 for none.
    pub sequence: u64,
    pub name: Text,
    pub ttl: u64,
    pub fields: Option<Fields>,
}

/// The arguments of `destroy.lua`.
#[derive(Debug)]
pub struct Destroy {
    pub primary: Text,
    pub uuid: Text,
    pub writer: Text,
    pub known: Vec<Text>,
}

impl Command {
    /// The KEYS of a script.
    fn keys(&self) -> impl Iterator<Item = &Text> {
        let (primary, first, second): (Option<&Text>, &[(Text, Text)], &[Text]) = match self {
            Self::Save(save) => (Some(&save.primary), &save.added, &save.others),
            Self::Remove(remove) => (
                Some(&remove.primary),
                &[],
                std::slice::from_ref(&remove.name),
            ),
            Self::Destroy(destroy) => (Some(&destroy.primary), &[], &destroy.known),
            Self::HGetAll(_) | Self::Ping => (None, &[], &[]),
        };
        let first = first.iter().map(|(name, _)| name);
        primary.into_iter().chain(first).chain(second)
    }
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Int(i64),
    Pair(u64, u64),
    Joined(u64, Text),
    Conflict(Pairs),
    /// The indices of the added keys whose names other dialogs have.
    Taken(Vec<usize>),
    Hash(Pairs),
    Names(Vec<Text>),
    Pong,
    /// Its code.
    Error(&'static str),
}

#[derive(Debug, Clone, Default)]
pub struct Hash {
    pub fields: Pairs,
    /// ms, as the server's clock says.
    pub until: Option<u64>,
}

/// A change that a client is notified of.
#[derive(Debug, Clone)]
pub struct Invalidation {
    pub key: Text,
    /// The session that lives there, and its version when the command that has changed it was done; `u64::MAX` where it
    /// was removed.
    pub session: Option<(Text, u64)>,
}

/// See the module.
#[derive(Default)]
pub struct Server {
    pub keys: BTreeMap<Text, Hash>,
    tracked: BTreeMap<Text, Vec<Client>>,
    /// ms, as its clock says.
    pub now: u64,
    /// Whose command is executed.
    current: Option<Client>,
    invalidations: Vec<(Client, Invalidation)>,
    /// Whether the server takes a read by a script for one of all of its KEYS, as it does before 7.2.
    pub tracks_all_keys: bool,
    /// The KEYS of the script that runs.
    declared: Vec<Text>,
    /// Sessions as they were with each version: what the invariants are checked against.
    pub versions: BTreeMap<(Text, u64), Pairs>,
}

fn parsed(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// A number as text.
fn text(number: u64) -> Text {
    number.to_string().into()
}

/// Two texts as one.
pub fn joined(first: &str, second: &str) -> Text {
    let mut text = String::with_capacity(first.len() + second.len());
    text.push_str(first);
    text.push_str(second);
    text.into()
}

/// `uuid` of a session without what all have in common.
pub fn short(uuid: &str) -> &str {
    let id = uuid.strip_prefix(UUID_PREFIX).unwrap_or(uuid);
    &id[..id.len().min(8)]
}

impl Server {
    /// Executes a command of a client; gives the reply, and the invalidations for other clients.
    pub fn execute(
        &mut self,
        client: Client,
        command: &Command,
    ) -> (Reply, Vec<(Client, Invalidation)>) {
        self.current = Some(client);
        self.declared.clear();
        if self.tracks_all_keys {
            self.declared.extend(command.keys().cloned());
        }
        let reply = match command {
            Command::HGetAll(key) => Reply::Hash(self.hgetall(key)),
            Command::Save(save) => self.save(save),
            Command::Remove(remove) => self.remove(remove),
            Command::Destroy(destroy) => self.destroy(destroy),
            Command::Ping => Reply::Pong,
        };
        self.current = None;
        match command {
            Command::Save(save) => self.note(&save.primary),
            Command::Remove(remove) => self.note(&remove.primary),
            _ => {}
        }
        (reply, self.take_invalidations())
    }

    /// The invalidations since the last call.
    pub fn take_invalidations(&mut self) -> Vec<(Client, Invalidation)> {
        let mut invalidations = std::mem::take(&mut self.invalidations);
        for (_, invalidation) in &mut invalidations {
            if let Some((uuid, version)) = &mut invalidation.session {
                let now = self.version_of(&invalidation.key, uuid);
                *version = now.unwrap_or(u64::MAX);
            }
        }
        invalidations
    }

    fn version_of(&self, key: &str, uuid: &str) -> Option<u64> {
        let hash = self.keys.get(key)?;
        let is_same = raw(hash, "uuid").is_some_and(|there| **there == *uuid);
        is_same.then(|| parsed(raw(hash, "version").map_or("", |text| text)))
    }

    /// Remembers what a session is with its version.
    fn note(&mut self, primary: &Text) {
        let Some(hash) = self.keys.get(primary) else {
            return;
        };
        if let (Some(uuid), Some(version)) = (raw(hash, "uuid"), raw(hash, "version")) {
            let id = (Rc::clone(uuid), parsed(version));
            let mut fields: Pairs = hash
                .fields
                .iter()
                .filter(|(name, _)| name.starts_with('.'))
                .cloned()
                .collect();
            fields.sort();
            self.versions.insert(id, fields);
        }
    }

    /// A lost connection gets no invalidations of what it has read.
    pub fn forget_client(&mut self, client: Client) {
        self.tracked.retain(|_, clients| {
            clients.retain(|other| *other != client);
            !clients.is_empty()
        });
    }

    /// Lets expire what is due, as the server does from time to time without being asked.
    pub fn expire_all(&mut self) {
        let due: Vec<Text> = self
            .keys
            .iter()
            .filter(|(_, hash)| hash.until.is_some_and(|until| until <= self.now))
            .map(|(key, _)| Rc::clone(key))
            .collect();
        for key in due {
            self.is_there(&key);
        }
    }

    // Commands.

    fn is_there(&mut self, key: &Text) -> bool {
        match self.keys.get(key) {
            Some(hash) if hash.until.is_some_and(|until| until <= self.now) => {
                self.changed(key);
                self.keys.remove(key);
                false
            }
            hash => hash.is_some(),
        }
    }

    fn changed(&mut self, key: &Text) {
        let Some(clients) = self.tracked.remove(key) else {
            return;
        };
        let uuid = self
            .keys
            .get(key)
            .and_then(|hash| raw(hash, "uuid"))
            .map(|uuid| (Rc::clone(uuid), 0));
        for client in clients {
            if Some(client) != self.current {
                let invalidation = Invalidation {
                    key: Rc::clone(key),
                    session: uuid.clone(),
                };
                self.invalidations.push((client, invalidation));
            }
        }
    }

    fn reads(&mut self, key: &Text) {
        if self.declared.is_empty() {
            return self.tracks(key);
        }
        let declared = std::mem::take(&mut self.declared);
        for key in &declared {
            self.tracks(key);
        }
        self.declared = declared;
    }

    fn tracks(&mut self, key: &Text) {
        if let Some(client) = self.current {
            let clients = self.tracked.entry(Rc::clone(key)).or_default();
            if !clients.contains(&client) {
                clients.push(client);
            }
        }
    }

    fn read(&mut self, key: &Text) -> Option<&Hash> {
        self.is_there(key);
        self.reads(key);
        self.keys.get(key)
    }

    fn hgetall(&mut self, key: &Text) -> Pairs {
        self.read(key)
            .map_or_else(Vec::new, |hash| in_order(&hash.fields))
    }

    fn hget(&mut self, key: &Text, field: &str) -> Option<Text> {
        self.read(key).and_then(|hash| raw(hash, field)).cloned()
    }

    fn exists(&mut self, key: &Text) -> bool {
        self.read(key).is_some()
    }

    fn hset(&mut self, key: &Text, field: &str, value: &Text) {
        let hash = self.keys.entry(Rc::clone(key)).or_default();
        match hash.fields.iter_mut().find(|(name, _)| **name == *field) {
            Some((_, there)) => *there = Rc::clone(value),
            None => hash.fields.push((field.into(), Rc::clone(value))),
        }
        self.changed(key);
    }

    fn hdel(&mut self, key: &Text, field: &str) -> bool {
        if !self.is_there(key) {
            return false;
        }
        let Some(hash) = self.keys.get_mut(key) else {
            return false;
        };
        let before = hash.fields.len();
        hash.fields.retain(|(name, _)| **name != *field);
        if hash.fields.len() == before {
            return false;
        }
        self.changed(key);
        if self
            .keys
            .get(key)
            .is_some_and(|hash| hash.fields.is_empty())
        {
            self.keys.remove(key);
        }
        true
    }

    fn del(&mut self, key: &Text) {
        if self.is_there(key) {
            self.changed(key);
            self.keys.remove(key);
        }
    }

    /// `PEXPIRE`, or `PERSIST` where `ttl` is 0.
    fn expire(&mut self, key: &Text, ttl: u64) {
        if !self.is_there(key) {
            return;
        }
        // a tombstone that is at the key too stays as long as it would alone
        let hash = self.keys.get(key);
        let has_gone = hash.is_some_and(|hash| raw(hash, "gone").is_some());
        let ttl = if has_gone && ttl > 0 {
            ttl.max(TOMBSTONE)
        } else {
            ttl
        };
        let until = (ttl > 0).then_some(self.now + ttl);
        if let Some(hash) = self.keys.get_mut(key) {
            if until.is_none() && hash.until.is_none() {
                return;
            }
            hash.until = until;
        }
        self.changed(key);
    }

    fn field_names(&mut self, key: &Text) -> Vec<Text> {
        self.hgetall(key)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    // shared.lua

    fn delete_session(&mut self, key: &Text, to: Option<&Text>, writer: &str) {
        let left = to.and_then(|_| {
            let now = self.now;
            let hash = self.read(key)?;
            hash.until.map(|until| until - now)
        });
        let mut gone = self.hget(key, "gone");
        let uuid = self.hget(key, "uuid");
        let by = self.hget(key, "by");
        let ttl = self.hget(key, "ttl");
        if let Some((maker, first)) = by.as_ref().and_then(|by| by.split_once(' ')) {
            let maker = joined("~", maker);
            if *maker != *writer && self.hget(key, &maker).is_none_or(|last| *last == *first) {
                let at = ttl.as_ref().and_then(|ttl| ttl.split_once('@'));
                let at: Option<u64> = at.and_then(|(_, at)| at.parse().ok());
                if at.is_some_and(|at| self.now < at + TOMBSTONE) {
                    let before = gone.map_or(String::new(), |gone| format!("{gone} "));
                    gone = uuid.map(|uuid| format!("{before}{uuid}").as_str().into());
                }
            }
        }
        self.del(key);
        if let Some(gone) = &gone {
            self.hset(key, "gone", gone);
            self.expire(key, TOMBSTONE);
        }
        if let Some(to) = to {
            self.hset(key, "->", to);
            self.expire(key, left.unwrap_or(0));
        }
    }

    fn write(
        &mut self,
        primary: &Text,
        version: u64,
        keys: &[(Text, Text)],
        stamp: Option<&(Text, u64)>,
        fields: &Fields,
    ) {
        self.hset(primary, "version", &text(version));
        for (name, resource) in keys {
            self.hset(primary, &joined("@", name), resource);
        }
        if let Some((writer, sequence)) = stamp {
            self.hset(primary, writer, &text(*sequence));
        }
        for (field, value) in &fields.set {
            self.hset(primary, field, value);
        }
        for field in &fields.deleted {
            self.hdel(primary, field);
        }
    }

    fn is_reserved_by_another(&mut self, primary: &Text, writer: &str) -> bool {
        let Some(reserved) = self.hget(primary, "~reserved") else {
            return false;
        };
        let now = self.now;
        reserved
            .split_once(' ')
            .is_some_and(|(owner, until)| *owner != *writer && now < parsed(until))
    }

    fn reserve(&mut self, primary: &Text, writer: &str) {
        if !self.is_reserved_by_another(primary, writer) {
            let value = format!("{writer} {}", self.now + RESERVATION);
            self.hset(primary, "~reserved", &value.into());
        }
    }

    fn forget_writers(&mut self, primary: &Text, one: &str) {
        let writers: Vec<Text> = self
            .field_names(primary)
            .into_iter()
            .filter(|field| field.starts_with('~') && **field != *"~reserved" && **field != *one)
            .collect();
        for writer in writers.iter().skip(16) {
            self.hdel(primary, writer);
        }
    }

    // save.lua

    #[allow(clippy::too_many_lines)] // as long as the script
    fn save(&mut self, save: &Save) -> Reply {
        let Save {
            primary,
            uuid,
            mode,
            ..
        } = save;
        let absent = *mode != Mode::Update && !self.exists(primary);
        let mut leads_to = vec![None; save.added.len()];
        let mut free = absent && save.ttl != 0;
        for (at, (key, _)) in save.added.iter().enumerate() {
            if key != primary {
                let to = self.hget(key, "->");
                let has = self.hget(key, &joined("@", key)).is_some();
                leads_to[at] = to.or_else(|| has.then(|| Rc::clone(key)));
                free = free && leads_to[at].is_none();
            }
        }
        let keys = text(save.added.len() as u64);
        if free {
            self.hset(primary, "uuid", uuid);
            self.hset(primary, "by", &save.by);
            self.hset(primary, "keys", &keys);
            self.write(primary, 1, &save.added, save.stamp.as_ref(), &save.fields);
            self.expire(primary, save.ttl);
            for (key, _) in &save.added {
                if key != primary {
                    self.hset(key, "->", primary);
                    self.expire(key, save.ttl);
                }
            }
            self.exists(primary);
            return Reply::Int(1);
        }
        let writer = save.stamp.as_ref().map(|(writer, _)| Rc::clone(writer));
        let writer = writer.unwrap_or_else(|| "".into());
        let sequence = save.stamp.as_ref().map(|(_, sequence)| *sequence);
        let (mut stored_uuid, mut pointer, mut stored, mut gone, mut last) =
            (None, None, None, None, None);
        if !absent {
            stored_uuid = self.hget(primary, "uuid");
            pointer = self.hget(primary, "->");
            stored = self.hget(primary, "version");
            gone = self.hget(primary, "gone");
            last = self.hget(primary, &writer).filter(|_| sequence.is_some());
        }
        let stored = stored.map_or(0, |version| parsed(&version));
        let was_done = match (sequence, &last) {
            (Some(sequence), Some(last)) => parsed(last) >= sequence,
            _ => false,
        };
        let own_key = joined("@", save.added.first().map_or("", |(name, _)| name));
        let is_own = stored_uuid.as_ref() == Some(uuid);
        let mut fresh = absent;
        let mut replaces = false;
        let mut joined_uuid = None;
        if *mode == Mode::Update {
            if !is_own {
                return Reply::Int(0);
            }
            if was_done {
                return Reply::Int(stored.cast_signed());
            }
            if let Some((version, reserves)) = save.expected
                && (version != stored || self.is_reserved_by_another(primary, &writer))
            {
                if reserves {
                    self.reserve(primary, &writer);
                }
                return Reply::Conflict(self.hgetall(primary));
            }
        } else if absent {
            // There is nothing to check.
        } else if is_own {
            if was_done {
                return Reply::Int(stored.cast_signed());
            }
        } else if gone.as_ref().is_some_and(|gone| gone.contains(&**uuid)) {
            return Reply::Int(0);
        } else if stored_uuid.is_none() {
            fresh = true;
        } else if *mode == Mode::Join && self.hget(primary, &own_key).is_some() {
            let stored_uuid = stored_uuid.clone().unwrap_or_else(|| "".into());
            if was_done {
                return Reply::Joined(stored, stored_uuid);
            }
            joined_uuid = Some(stored_uuid);
        } else {
            replaces = true;
        }

        let mut taken = Vec::new();
        for (at, (key, value)) in save.added.iter().enumerate() {
            let owner = if key == primary {
                let here = stored_uuid.as_ref().map(|_| primary);
                pointer.as_ref().or(here).cloned()
            } else {
                leads_to[at].clone()
            };
            let claims = value.starts_with(['<', '>']) && !save.takes.contains(&at);
            let Some(owner) = owner.filter(|owner| claims && !(is_own && owner == primary)) else {
                continue;
            };
            let tag = |leg: &str| leg.split([' ', '\n']).next().map(str::to_owned);
            let mine = tag(value);
            let value = self.hget(&owner, &joined("@", key));
            let owner_uuid = self.hget(&owner, "uuid");
            let leg = value.as_ref().and_then(|value| value.lines().next());
            let waits = |leg: &str| leg.contains(" ?") && tag(leg) == mine;
            if leg.is_some_and(|leg| leg.starts_with(['<', '>']) && !waits(leg))
                && owner_uuid.as_ref() != Some(uuid)
            {
                taken.push(at);
            }
        }
        if !taken.is_empty() {
            return Reply::Taken(taken);
        }

        if replaces {
            let keys = self.hget(primary, "keys");
            let keys = keys.map_or(0, |keys| parsed(&keys));
            if keys > u64::from(self.hget(primary, &own_key).is_some()) {
                return Reply::Int(-1);
            }
            self.delete_session(primary, None, &writer);
            fresh = true;
        }

        let version = if fresh { 1 } else { stored + 1 };
        let mut new = 0;
        for (at, (key, _)) in save.added.iter().enumerate() {
            let field = joined("@", key);
            let to = if key == primary {
                pointer.clone()
            } else {
                leads_to[at].clone()
            };
            if let Some(to) = to
                && to != *primary
                && self.hdel(&to, &field)
                && self.count_keys(&to, -1) == 0
            {
                let pointer = self.hget(&to, "->");
                self.delete_session(&to, pointer.as_ref(), &writer);
            }
            if key != primary {
                self.hset(key, "->", primary);
            } else if pointer.is_some() {
                self.hdel(key, "->");
            }
            if !fresh && self.hget(primary, &field).is_none() {
                new += 1;
            }
        }
        self.write(
            primary,
            version,
            &save.added,
            save.stamp.as_ref(),
            &save.fields,
        );
        if fresh {
            self.hset(primary, "uuid", uuid);
            self.hset(primary, "by", &save.by);
            self.hset(primary, "keys", &keys);
        } else {
            if *mode != Mode::Update && joined_uuid.is_none() {
                self.hset(primary, "by", &save.by);
            }
            if new > 0 {
                self.count_keys(primary, new);
            }
            if sequence.is_some() && last.is_none() {
                self.forget_writers(primary, &writer);
            }
        }
        if save.expected.is_some() {
            self.hdel(primary, "~reserved");
        }
        self.expire(primary, save.ttl);
        let names = save.added.iter().map(|(name, _)| name);
        for key in names.chain(&save.others) {
            if key != primary {
                self.expire(key, save.ttl);
            }
        }
        self.exists(primary);
        match joined_uuid {
            Some(stored_uuid) => Reply::Joined(version, stored_uuid),
            None => Reply::Int(version.cast_signed()),
        }
    }

    fn count_keys(&mut self, primary: &Text, change: i64) -> i64 {
        let hash = self.keys.get(primary);
        let keys = hash.and_then(|hash| raw(hash, "keys"));
        let keys = keys.map_or(0, |keys| keys.parse().unwrap_or(0)) + change;
        self.hset(primary, "keys", &keys.to_string().into());
        keys
    }

    // remove.lua

    fn remove(&mut self, remove: &Remove) -> Reply {
        let Remove {
            primary,
            uuid,
            writer,
            sequence,
            name,
            ..
        } = remove;
        let field = joined("@", name);
        let stored_uuid = self.hget(primary, "uuid");
        let keys = self.hget(primary, "keys");
        let version = self
            .hget(primary, "version")
            .map_or(0, |text| parsed(&text));
        let pointer = self.hget(primary, "->");
        let by = self.hget(primary, "by");
        let last = self.hget(primary, writer);
        let has = self.hget(primary, &field).is_some();
        let keys: i64 = keys.and_then(|keys| keys.parse().ok()).unwrap_or(0);
        if stored_uuid.as_ref() == Some(uuid)
            && *sequence > 0
            && last.as_ref().map_or(0, |last| parsed(last)) >= *sequence
        {
            return Reply::Pair(keys.unsigned_abs(), version);
        }
        if name != primary && self.hget(name, "->").as_ref() == Some(primary) {
            self.hdel(name, "->");
        }
        if stored_uuid.as_ref() != Some(uuid) {
            return Reply::Int(0);
        }
        let left = keys - i64::from(has);
        let gone = self.hget(primary, "gone");
        let is_maker = by.as_ref().is_some_and(|by| by.starts_with(&writer[1..]));
        if left <= 0 && pointer.is_none() && gone.is_none() && is_maker {
            self.del(primary);
            return Reply::Int(0);
        }
        if left <= 0 {
            self.delete_session(primary, pointer.as_ref(), writer);
            return Reply::Int(0);
        }
        let version = version + 1;
        self.hdel(primary, &field);
        self.hset(primary, "keys", &left.to_string().into());
        self.hset(primary, "version", &text(version));
        if *sequence > 0 {
            self.hset(primary, writer, &text(*sequence));
            if last.is_none() {
                self.forget_writers(primary, writer);
            }
        }
        if let Some(fields) = &remove.fields {
            self.write(primary, version, &[], None, fields);
            self.expire(primary, remove.ttl);
        }
        self.exists(primary);
        Reply::Pair(left.unsigned_abs(), version)
    }

    // destroy.lua

    fn destroy(&mut self, destroy: &Destroy) -> Reply {
        let primary = &destroy.primary;
        let mut fields = Vec::new();
        if self.hget(primary, "uuid").as_ref() == Some(&destroy.uuid) {
            fields = self
                .field_names(primary)
                .iter()
                .filter_map(|field| field.strip_prefix('@').map(Into::into))
                .collect();
            let pointer = self.hget(primary, "->");
            self.delete_session(primary, pointer.as_ref(), &destroy.writer);
        }
        for key in &destroy.known {
            if key != primary && self.hget(key, "->").as_ref() == Some(primary) {
                self.hdel(key, "->");
            }
        }
        Reply::Names(fields)
    }
}

/// A field of a hash.
pub fn raw<'a>(hash: &'a Hash, field: &str) -> Option<&'a Text> {
    hash.fields
        .iter()
        .find(|(name, _)| **name == *field)
        .map(|(_, value)| value)
}

/// The order in which a server gives fields: that in which they came, but a hash with a value of more than 64 bytes has
/// none that anybody could rely on.
fn in_order(fields: &Pairs) -> Pairs {
    let mut fields = fields.clone();
    if fields.iter().any(|(_, value)| value.len() > 64) {
        fields.reverse();
    }
    fields
}
