//! The keys of a session in the memory store. Most sessions have the primary key only, without a resource: then the list
//! takes no memory.

use std::rc::Rc;

/// A key: a name that a session is found by.
pub struct Key {
    /// The name.
    pub name: Rc<str>,
    /// The JSON text of the resource.
    pub resource: Option<Box<str>>,
}

/// See the module. The methods get the primary key of the session, which [`Keys::Primary`] does not store.
pub enum Keys {
    /// Only the primary key, without a resource.
    Primary,
    /// Any other list of keys.
    Listed(Box<[Key]>),
}

impl Keys {
    /// The list of `keys`.
    pub fn new(primary: &str, keys: Vec<Key>) -> Self {
        match keys.as_slice() {
            [key] if *key.name == *primary && key.resource.is_none() => Self::Primary,
            _ => Self::Listed(keys.into()),
        }
    }

    /// The names, with their resources.
    pub fn iter<'a>(
        &'a self,
        primary: &'a str,
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let (own, listed) = match self {
            Self::Primary => (Some((primary, None)), [].as_slice()),
            Self::Listed(keys) => (None, &**keys),
        };
        let listed = listed
            .iter()
            .map(|key| (&*key.name, key.resource.as_deref()));
        own.into_iter().chain(listed)
    }

    /// Whether `name` is one of them.
    pub fn has(&self, primary: &str, name: &str) -> bool {
        self.iter(primary).any(|(key, _)| key == name)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        match self {
            Self::Primary => 1,
            Self::Listed(keys) => keys.len(),
        }
    }

    /// Adds a key at the end, and removes the one of that name.
    pub fn put(&mut self, primary: &Rc<str>, key: Key) {
        let known = match std::mem::replace(self, Self::Primary) {
            Self::Primary => vec![Key {
                name: Rc::clone(primary),
                resource: None,
            }],
            Self::Listed(keys) => keys.into_vec(),
        };
        let mut keys = Vec::with_capacity(known.len() + 1);
        keys.extend(known.into_iter().filter(|known| known.name != key.name));
        keys.push(key);
        *self = Self::new(primary, keys);
    }

    /// Removes the key `name`.
    pub fn remove(&mut self, primary: &str, name: &str) {
        match std::mem::replace(self, Self::Primary) {
            Self::Primary if primary != name => {}
            Self::Primary => *self = Self::Listed(Box::default()),
            Self::Listed(keys) => {
                let mut keys = keys.into_vec();
                keys.retain(|key| *key.name != *name);
                *self = Self::new(primary, keys);
            }
        }
    }
}
