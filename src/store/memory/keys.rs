//! The keys of a session. Most have one, the name the session lives under, and nothing kept with it: that takes no
//! memory of its own.

use std::rc::Rc;

/// A name a session is found by.
pub struct Key {
    /// The name.
    pub name: Rc<str>,
    /// The JSON text of what the application keeps with it.
    pub resource: Option<Box<str>>,
}

/// See the module. What is asked of them comes with the name of their session's primary.
pub enum Keys {
    /// The primary, with no resource.
    Home,
    /// Anything else.
    Listed(Box<[Key]>),
}

impl Keys {
    /// These keys.
    pub fn new(primary: &str, keys: Vec<Key>) -> Self {
        match keys.as_slice() {
            [key] if *key.name == *primary && key.resource.is_none() => Self::Home,
            _ => Self::Listed(keys.into()),
        }
    }

    /// The names, with their resources.
    pub fn iter<'a>(
        &'a self,
        primary: &'a str,
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let (own, listed) = match self {
            Self::Home => (Some((primary, None)), [].as_slice()),
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

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Home => 1,
            Self::Listed(keys) => keys.len(),
        }
    }

    /// Adds a key at the end, in place of the one of that name.
    pub fn put(&mut self, primary: &Rc<str>, key: Key) {
        let known = match std::mem::replace(self, Self::Home) {
            Self::Home => vec![Key {
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

    /// Takes a key away.
    pub fn remove(&mut self, primary: &str, name: &str) {
        match std::mem::replace(self, Self::Home) {
            Self::Home if primary != name => {}
            Self::Home => *self = Self::Listed(Box::default()),
            Self::Listed(keys) => {
                let mut keys = keys.into_vec();
                keys.retain(|key| *key.name != *name);
                *self = Self::new(primary, keys);
            }
        }
    }
}
