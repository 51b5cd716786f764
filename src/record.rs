//! One session as this process knows it: its uuid, its keys, and the text that was last stored or loaded.

use std::sync::Arc;

use uuid::Uuid;

use crate::fields;
use crate::store::{Basis, Create, Saved, Stored, Update};

/// What every uuid of a session begins with.
pub const UUID_PREFIX: &str = "mks:session:";

/// What the name of every key begins with; the rest is the key's id, for a dialog its Call-ID.
pub const KEY_PREFIX: &str = "mks:";

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In this process only: nothing was stored yet.
    New,
    /// As `New`, but nobody knows what became of a first save that is not tried any more.
    Doubtful,
    /// In the store, as far as this process knows.
    Stored,
    /// Removed or expired. There is no way back.
    Removed,
    /// It could not be loaded. It may exist, so it is never created; its key can be removed.
    Unknown,
}

/// What the first save of a session does where another one has its key already ([`Create::adopt`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Takes the key from it.
    Takes,
    /// Joins it.
    Joins,
}

/// One of the names a session is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `mks:` and the id.
    pub name: Arc<str>,
    /// The JSON text of what the application keeps with the key.
    pub resource: Option<String>,
    /// Whether the store has it like this.
    pub stored: bool,
}

/// One session as this process knows it.
#[derive(Debug, Clone)]
pub struct Record {
    /// `mks:session:` and a uuid: who it is, whatever its keys are.
    pub uuid: Arc<str>,
    /// The name it is stored under: its first key's, unless another session lived there.
    pub home: Arc<str>,
    /// The names it is found by.
    pub keys: Vec<Key>,
    /// The text last stored or loaded, as the store has confirmed it.
    pub text: Arc<str>,
    /// The text when all saves that were asked for are done: what the next difference is taken from.
    pub view: Arc<str>,
    /// The text that the data object has given or got last; another one than `view` if that has moved on since.
    pub shown: Arc<str>,
    /// What its first save does.
    pub first: First,
    /// Where it stands.
    pub state: State,
    /// Whether it was made from what is owed, and not from what the store has.
    pub ahead: bool,
    /// How often it had been written when `text` was stored; 0 where the store does not count, or it is not known that
    /// `text` is all there was.
    pub version: u64,
    /// The highest version heard of.
    pub newest: u64,
    /// Whether the next save writes even if nothing has changed: its time to live is half over.
    pub ageing: bool,
    /// What a load found, and its version, that are not in `text` and `version` yet: the data object has to be merged
    /// first.
    pub incoming: Option<(Arc<str>, u64)>,
}

impl Record {
    /// A session that nobody has seen yet.
    #[must_use]
    pub fn new() -> Self {
        let mut uuid = Uuid::encode_buffer();
        let uuid = Uuid::new_v4().hyphenated().encode_lower(&mut uuid);
        let text: Arc<str> = fields::EMPTY.into();
        Self {
            uuid: [UUID_PREFIX, uuid].concat().into(),
            home: "".into(),
            keys: Vec::new(),
            view: Arc::clone(&text),
            shown: Arc::clone(&text),
            text,
            first: First::Takes,
            state: State::New,
            ahead: false,
            version: 0,
            newest: 0,
            ageing: false,
            incoming: None,
        }
    }

    /// A session that could not be loaded.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            state: State::Unknown,
            ..Self::new()
        }
    }

    /// A session as the store has it.
    #[must_use]
    pub fn loaded(stored: Stored) -> Self {
        let mut record = Self {
            uuid: stored.uuid.as_str().into(),
            ..Self::new()
        };
        record.absorb(stored);
        if let Some((text, version)) = record.incoming.take() {
            record.view = Arc::clone(&text);
            record.shown = Arc::clone(&text);
            (record.text, record.version) = (text, version);
        }
        record
    }

    /// The session as a store would give it.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored {
            uuid: self.uuid.to_string(),
            home: Arc::clone(&self.home),
            keys: self
                .keys
                .iter()
                .map(|key| (Arc::clone(&key.name), key.resource.clone()))
                .collect(),
            text: self.text.to_string(),
            version: self.version,
            ageing: self.ageing,
            ages_in: None,
        }
    }

    /// The session as it was just stored, and nothing of what has happened to it here since; nothing if that is not
    /// known for certain.
    #[must_use]
    pub fn as_stored(&self) -> Option<Self> {
        let incoming = self.incoming.as_ref();
        let (text, version) = incoming.map_or((&self.text, self.version), |(text, version)| {
            (text, *version)
        });
        if version == 0 || version != self.newest {
            return None;
        }
        Some(Self {
            uuid: Arc::clone(&self.uuid),
            home: Arc::clone(&self.home),
            keys: self.keys.iter().filter(|key| key.stored).cloned().collect(),
            text: Arc::clone(text),
            view: Arc::clone(text),
            shown: Arc::clone(text),
            first: self.first,
            state: self.state,
            ahead: false,
            version,
            newest: self.newest,
            ageing: self.ageing,
            incoming: None,
        })
    }

    /// The session as it will be in the store when all that was asked for is done: for somebody else to go on from.
    #[must_use]
    pub fn ahead(&self) -> Self {
        let mut stored = self.stored();
        stored.text = self.view.to_string();
        Self {
            version: 0,
            newest: self.newest,
            ahead: true,
            ..Self::loaded(stored)
        }
    }

    /// Adds a key, or gives the one there is another resource.
    pub fn add_key(&mut self, name: &str, resource: Option<String>) {
        match self.keys.iter_mut().find(|key| *key.name == *name) {
            Some(key) if key.resource == resource => {}
            Some(key) => (key.resource, key.stored) = (resource, false),
            None => self.keys.push(Key {
                name: name.into(),
                resource,
                stored: false,
            }),
        }
    }

    /// Forgets a key.
    pub fn drop_key(&mut self, name: &str) {
        self.keys.retain(|key| *key.name != *name);
    }

    /// Takes over what the store has for this session: keys at once, properties when [`Record::text`] is merged.
    /// Answers whether anything is new here. What is older than what this process knows is left alone.
    pub fn absorb(&mut self, stored: Stored) -> bool {
        if stored.version > 0 && stored.version < self.newest {
            return false;
        }
        let known = self.keys.iter().filter(|key| key.stored);
        let known = known.map(|key| (&key.name, &key.resource));
        let keys_changed = known.ne(stored.keys.iter().map(|(name, resource)| (name, resource)));
        let mine = std::mem::take(&mut self.keys);
        self.keys = stored
            .keys
            .into_iter()
            .map(|(name, resource)| Key {
                name,
                resource,
                stored: true,
            })
            .collect();
        for key in mine.into_iter().filter(|key| !key.stored) {
            self.add_key(&key.name, key.resource);
        }
        self.home = stored.home;
        self.state = State::Stored;
        self.newest = stored.version;
        self.ageing = stored.ageing;
        self.ahead = false;
        let changed = *self.text != *stored.text;
        self.incoming = changed.then(|| (stored.text.into(), stored.version));
        if !changed {
            self.version = stored.version;
        }
        changed || keys_changed
    }

    /// Merges what [`Record::absorb`] brought with `mine`, the text of the data object (absent while nobody has read
    /// it). Answers what has to be done to the data object, as the text of `{"set":{...},"removed":[...]}`, or
    /// nothing if there is nothing to do.
    ///
    /// # Errors
    /// When a text is not one of an object: `mine` always is, and what was absorbed was checked by its store.
    pub fn merge(&mut self, mine: Option<&str>) -> Result<Option<String>, serde_json::Error> {
        let Some((stored, version)) = self.incoming.take() else {
            return Ok(None);
        };
        self.version = version;
        let base = std::mem::replace(&mut self.text, stored);
        let Some(mine) = mine else {
            self.view = Arc::clone(&self.text);
            return Ok(None);
        };
        let (base, stored, mine) = (
            fields::split(&base)?,
            fields::split(&self.text)?,
            fields::split(mine)?,
        );
        let changes = fields::merge(&base, &stored, &mine);
        if changes.is_empty() {
            return Ok(None);
        }
        self.view = fields::apply(&fields::split(&self.view)?, &changes).into();
        let removed: Vec<String> = changes
            .removed
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        Ok(Some(format!(
            "{{\"set\":{},\"removed\":[{}]}}",
            fields::join(changes.set),
            removed.join(",")
        )))
    }

    /// Whether others have written what is not known here, as far as is known.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let incoming = self.incoming.as_ref();
        incoming.map_or(self.version, |(_, version)| *version) < self.newest
    }

    /// Whether there may be something to be loaded or removed.
    #[must_use]
    pub fn may_be_stored(&self) -> bool {
        matches!(self.state, State::Stored | State::Doubtful)
    }

    /// Whether a save of `text` (absent: nobody has read the data) would change anything.
    #[must_use]
    pub fn is_dirty(&self, text: Option<&str>) -> bool {
        let differs = text.is_some_and(|text| *text != *self.view);
        differs || self.ageing || self.keys.iter().any(|key| !key.stored)
    }

    /// The first save of this session.
    #[must_use]
    pub fn create(&mut self, text: &Arc<str>, ttl: Option<u64>, number: u64) -> Create {
        self.home = self
            .keys
            .first()
            .map_or_else(|| Arc::clone(&self.uuid), |key| Arc::clone(&key.name));
        Create {
            adopt: self.first == First::Joins,
            uuid: Arc::clone(&self.uuid),
            home: Arc::clone(&self.home),
            text: Arc::clone(text),
            keys: self
                .keys
                .iter()
                .map(|key| (Arc::clone(&key.name), key.resource.clone()))
                .collect(),
            ttl,
            number,
            aside: false,
        }
    }

    /// Takes the text of the data object for a save, absent while nobody has read it: gives what it changes, from and
    /// to.
    pub fn take(&mut self, text: Option<String>) -> (Arc<str>, Arc<str>) {
        let base = Arc::clone(&self.view);
        if let Some(text) = text {
            if *text != *base {
                self.view = text.into();
            }
            self.shown = Arc::clone(&self.view);
        }
        (base, Arc::clone(&self.view))
    }

    /// The text for a data object to be made of it.
    pub fn give(&mut self) -> String {
        self.shown = Arc::clone(&self.view);
        self.view.to_string()
    }

    /// Whether a save of the text that the data object has given or got last would write nothing, and nothing is on its
    /// way.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.state == State::Stored
            && Arc::ptr_eq(&self.shown, &self.view)
            && self.incoming.is_none()
            && !self.is_dirty(None)
            && self.view == self.text
    }

    /// A later save of this session: the changes from `base` to `text`.
    #[must_use]
    pub fn update(
        &self,
        base: &Arc<str>,
        text: &Arc<str>,
        ttl: Option<u64>,
        number: u64,
    ) -> Update {
        Update {
            uuid: Arc::clone(&self.uuid),
            home: Arc::clone(&self.home),
            base: Arc::clone(base),
            text: Arc::clone(text),
            known: self.known(),
            added: self
                .keys
                .iter()
                .filter(|key| !key.stored)
                .map(|key| (Arc::clone(&key.name), key.resource.clone()))
                .collect(),
            ttl,
            basis: None,
            number,
            again: false,
        }
    }

    /// It is not known what became of a save, and it is not tried any more.
    pub fn doubt(&mut self) {
        if self.state == State::New {
            self.state = State::Doubtful;
        }
    }

    /// What the store has as far as this process knows, for a write that is to be done only then. One that `insists` gets
    /// its turn.
    #[must_use]
    pub fn basis(&self, insists: bool) -> Basis {
        Basis {
            insists,
            version: self.version,
            text: Arc::clone(&self.text),
        }
    }

    /// The names of the keys that the store has.
    #[must_use]
    pub fn known(&self) -> Vec<Arc<str>> {
        self.keys
            .iter()
            .filter(|key| key.stored)
            .map(|key| Arc::clone(&key.name))
            .collect()
    }

    /// The store has done what was written.
    pub fn saved(&mut self, written: &Written, saved: Saved) {
        self.confirm(written, saved.version);
        if saved.uuid.is_none() {
            self.counted(saved.version);
        }
        self.acknowledge(written, saved);
    }

    /// The store has what was written, which is not in the data object yet: [`Record::merge`] brings it there.
    pub fn swapped(&mut self, written: &Written, saved: Saved) {
        let version = saved.version;
        let overtaken = self.has_seen(version);
        let exact = version == self.newest + 1 && self.version == self.newest;
        self.acknowledge(written, saved);
        if !overtaken {
            let version = if exact { version } else { self.version };
            self.incoming = Some((Arc::clone(&written.text), version));
        }
    }

    /// The store has what was written, and nobody is there any more to bring it into the data object: here it is as if
    /// somebody else had written it, and comes with the next load.
    pub fn swapped_unheard(&mut self, written: &Written, saved: Saved) {
        self.acknowledge(written, saved);
    }

    /// Whether a load has brought what is stored with this version, or later.
    fn has_seen(&self, version: u64) -> bool {
        version > 0 && version <= self.newest
    }

    /// The store has written this version for us.
    pub fn counted(&mut self, version: u64) {
        // More than one further means that somebody else has written what is not in `text`.
        if version == self.newest + 1 {
            match &mut self.incoming {
                Some((_, known)) if *known == self.newest => *known = version,
                None if self.version == self.newest => self.version = version,
                _ => {}
            }
        }
        self.newest = self.newest.max(version);
    }

    fn acknowledge(&mut self, written: &Written, saved: Saved) {
        self.newest = self.newest.max(saved.version);
        self.state = State::Stored;
        self.ageing = false;
        if let Some(home) = saved.home {
            self.home = home;
        }
        if let Some(uuid) = saved.uuid {
            self.uuid = uuid.into();
        }
        for (name, resource) in &written.keys {
            let known = |key: &&mut Key| key.name == *name && key.resource == *resource;
            if let Some(key) = self.keys.iter_mut().find(known) {
                key.stored = true;
            }
        }
    }

    /// The store has the changes that were written, on top of what a load has brought meanwhile, unless that had them
    /// already.
    pub fn confirm(&mut self, written: &Written, version: u64) {
        if self.has_seen(version) {
            return;
        }
        self.text = patched(&self.text, &written.base, &written.text);
        if let Some((text, _)) = &mut self.incoming {
            *text = patched(text, &written.base, &written.text);
        }
    }

    /// Something was not done: what the store will have is what it has confirmed, with what still waits to be saved,
    /// each from its text before the changes to that with them. The rest goes with the next save.
    pub fn review<'a>(&mut self, waiting: impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)>) {
        self.view = Arc::clone(&self.text);
        for (base, text) in waiting.filter(|(base, text)| base != text) {
            self.view = patched(&self.view, base, text);
        }
    }
}

/// `text` with the changes from `base` to `now` made to it.
pub fn patched(text: &Arc<str>, base: &Arc<str>, now: &Arc<str>) -> Arc<str> {
    if text == base {
        return Arc::clone(now);
    }
    // All three were split before; one that can't be is no reason to lose track of what was written.
    let patched = || {
        let (base, now) = (fields::split(base).ok()?, fields::split(now).ok()?);
        let changes = fields::diff(&base, &now);
        Some(fields::apply(&fields::split(text).ok()?, &changes))
    };
    patched().map_or_else(|| Arc::clone(now), Into::into)
}

/// What a save is writing.
#[derive(Debug)]
pub struct Written {
    /// The data before the changes.
    pub base: Arc<str>,
    /// The data with them.
    pub text: Arc<str>,
    /// The keys that go along, with their resources.
    pub keys: Vec<(Arc<str>, Option<String>)>,
    /// The time to live, ms.
    pub ttl: Option<u64>,
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str, keys: &[&str]) -> Stored {
        Stored {
            uuid: format!("{UUID_PREFIX}1"),
            home: "mks:a".into(),
            keys: keys.iter().map(|name| ((*name).into(), None)).collect(),
            text: text.into(),
            version: 0,
            ageing: false,
            ages_in: None,
        }
    }

    fn written(base: &str, text: &str, keys: Vec<(Arc<str>, Option<String>)>) -> Written {
        let (base, text) = (base.into(), text.into());
        Written {
            base,
            text,
            keys,
            ttl: None,
        }
    }

    #[test]
    fn a_new_one_has_a_uuid_of_its_own_and_nothing_else() {
        let (one, two) = (Record::new(), Record::new());
        assert_ne!(one.uuid, two.uuid);
        assert!(one.uuid.starts_with(UUID_PREFIX));
        assert!(!one.is_dirty(Some("{}")));
        assert!(one.is_dirty(Some(r#"{"a":1}"#)));
    }

    #[test]
    fn a_key_is_dirty_until_it_is_stored() {
        let mut record = Record::new();
        record.add_key("mks:a", None);
        assert!(record.is_dirty(None));
        let create = record.create(&"{}".into(), None, 1);
        assert_eq!((&*create.home, create.keys.len()), ("mks:a", 1));
        record.saved(&written("{}", "{}", create.keys), Saved::default());
        assert!(!record.is_dirty(None));
        record.add_key("mks:a", Some("1".into()));
        assert!(record.is_dirty(None), "another resource is a change");
    }

    #[test]
    fn a_resource_that_changed_while_it_was_being_stored_stays_dirty() {
        let mut record = Record::new();
        record.add_key("mks:a", Some("1".into()));
        let create = record.create(&"{}".into(), None, 1);
        record.add_key("mks:a", Some("2".into()));
        record.saved(&written("{}", "{}", create.keys), Saved::default());
        assert!(record.is_dirty(None));
    }

    #[test]
    fn what_a_load_brings_is_merged_into_what_is_here() {
        let mut record = Record::loaded(stored(r#"{"a":1,"b":1}"#, &["mks:a"]));
        record.add_key("mks:mine", None);
        assert!(record.absorb(stored(r#"{"a":2,"c":3}"#, &["mks:a", "mks:b"])));
        assert_eq!(record.keys.len(), 3);
        let patch = record.merge(Some(r#"{"a":1,"b":7}"#)).expect("objects");
        assert_eq!(
            patch.as_deref(),
            Some(r#"{"set":{"a":2,"c":3},"removed":[]}"#)
        );
        assert_eq!(&*record.text, r#"{"a":2,"c":3}"#);
    }

    #[test]
    fn nothing_to_merge_where_nobody_has_read_or_nothing_differs() {
        let mut record = Record::loaded(stored(r#"{"a":1}"#, &["mks:a"]));
        assert!(!record.absorb(stored(r#"{"a":1}"#, &["mks:a"])));
        assert!(record.absorb(stored(r#"{"a":2}"#, &["mks:a"])));
        assert_eq!(record.merge(None).expect("objects"), None);
        assert_eq!(&*record.text, r#"{"a":2}"#);
    }

    #[test]
    fn an_older_load_does_not_undo_a_newer_save() {
        let mut record = Record::loaded(Stored {
            version: 1,
            ..stored(r#"{"a":1}"#, &["mks:a"])
        });
        let two = written(r#"{"a":1}"#, r#"{"a":2}"#, Vec::new());
        record.saved(
            &two,
            Saved {
                version: 2,
                ..Saved::default()
            },
        );
        assert!(!record.absorb(Stored {
            version: 1,
            ..stored(r#"{"a":1}"#, &["mks:a"])
        }));
        assert_eq!(&*record.text, r#"{"a":2}"#);
    }

    #[test]
    fn what_a_load_brings_during_a_save_is_not_forgotten() {
        let mut record = Record::loaded(stored(r#"{"x":0,"y":0}"#, &["mks:a"]));
        let (base, text) = record.take(Some(r#"{"x":0,"y":1}"#.into()));
        record.absorb(stored(r#"{"x":1,"y":0}"#, &["mks:a"]));
        let patch = record.merge(Some(r#"{"x":0,"y":1}"#)).expect("objects");
        assert_eq!(patch.as_deref(), Some(r#"{"set":{"x":1},"removed":[]}"#));
        let keys = Vec::new();
        let written = Written {
            base,
            text,
            keys,
            ttl: None,
        };
        record.saved(&written, Saved::default());
        assert_eq!(&*record.text, r#"{"x":1,"y":1}"#);
        assert!(
            !record.is_dirty(Some(r#"{"x":1,"y":1}"#)),
            "nothing of others goes out as ours"
        );
    }
}
