//! The keys of a session in the memory store. Most sessions have the primary key only: then the list takes no memory
//! besides the text of that key.

use std::rc::Rc;

use crate::session::{NamedKey, leg};

/// A key: a name that a session is found by.
pub struct Key {
    /// The name.
    pub name: Rc<str>,
    /// Its leg and its resource, as one text ([`leg::joined`]).
    pub text: Box<str>,
}

impl Key {
    /// The key as the engine gets it.
    fn named(name: &str, text: &str) -> NamedKey {
        let (leg, resource) = leg::split(text);
        NamedKey {
            leg: leg.map(Into::into),
            resource: resource.map(str::to_owned),
            ..NamedKey::plain(name.into())
        }
    }
}

/// See the module. The methods get the primary key of the session, which [`Keys::Primary`] does not store.
pub enum Keys {
    /// Only the primary key, with this text.
    Primary(Box<str>),
    /// Any other list of keys. The second box keeps [`Keys`] as small as the text.
    #[allow(clippy::redundant_allocation)]
    Listed(Box<Box<[Key]>>),
}

impl Keys {
    /// The list of `keys`.
    pub fn new(primary: &str, mut keys: Vec<Key>) -> Self {
        if let [key] = keys.as_mut_slice()
            && *key.name == *primary
        {
            return Self::Primary(std::mem::take(&mut key.text));
        }
        Self::Listed(Box::new(keys.into()))
    }

    /// The names, with their texts.
    pub fn iter<'a>(&'a self, primary: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (own, listed) = match self {
            Self::Primary(text) => (Some((primary, &**text)), [].as_slice()),
            Self::Listed(keys) => (None, &***keys),
        };
        let listed = listed.iter().map(|key| (&*key.name, &*key.text));
        own.into_iter().chain(listed)
    }

    /// The keys as the engine gets them.
    pub fn named(&self, primary: &str) -> Vec<NamedKey> {
        self.iter(primary)
            .map(|(name, text)| Key::named(name, text))
            .collect()
    }

    /// Whether `name` is one of them.
    pub fn has(&self, primary: &str, name: &str) -> bool {
        self.iter(primary).any(|(key, _)| key == name)
    }

    /// Whether `name` is one of them, and kept from a key with this leg ([`leg::keeps_name`]).
    pub fn keeps_name(&self, primary: &str, name: &str, leg: Option<&str>) -> bool {
        let text = self.iter(primary).find(|(key, _)| *key == name);
        text.is_some_and(|(_, text)| leg::keeps_name(leg::split(text).0, leg))
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        match self {
            Self::Primary(_) => 1,
            Self::Listed(keys) => keys.len(),
        }
    }

    fn take(&mut self, primary: &Rc<str>) -> Vec<Key> {
        match std::mem::replace(self, Self::Primary(Box::default())) {
            Self::Primary(text) => vec![Key {
                name: Rc::clone(primary),
                text,
            }],
            Self::Listed(keys) => keys.into_vec(),
        }
    }

    /// Adds a key at the end, and removes the one of that name.
    pub fn put(&mut self, primary: &Rc<str>, key: Key) {
        let mut keys = self.take(primary);
        keys.retain(|known| known.name != key.name);
        keys.push(key);
        *self = Self::new(primary, keys);
    }

    /// Removes the key `name`.
    pub fn remove(&mut self, primary: &str, name: &str) {
        match self {
            Self::Primary(_) if primary != name => {}
            Self::Primary(_) => *self = Self::Listed(Box::default()),
            Self::Listed(keys) => {
                let mut keys = std::mem::take(&mut **keys).into_vec();
                keys.retain(|key| *key.name != *name);
                *self = Self::new(primary, keys);
            }
        }
    }
}
