//! The keys of a record: added, renamed by the store, found by their names and by the dialog that they belong to.

use std::rc::Rc;

use super::key::Key;
use super::leg::{self, Leg};
use super::record::{KEY_PREFIX, Record};
use super::stored::Renamed;

impl Record {
    /// Adds a key, or replaces the resource of an existing one, which keeps its leg.
    pub fn add_key(&mut self, name: &str, resource: Option<String>) {
        self.add_leg(name, resource, None, None);
    }

    /// Adds a key, or replaces the resource, the leg and the claim of an existing one. A leg that is absent stays, an empty
    /// one is removed; a claim that is absent stays.
    pub fn add_leg(
        &mut self,
        name: &str,
        resource: Option<String>,
        leg: Option<&str>,
        claims: Option<bool>,
    ) {
        let same_leg = |key: &Key| leg.is_none_or(|leg| key.leg.as_deref().unwrap_or("") == leg);
        let position = self.position(name).filter(|at| {
            // Under the earlier name of a key there may be a key of another dialog, which is moved here.
            *self.keys[*at].name == *name || same_leg(&self.keys[*at])
        });
        let owned = |leg: &str| (!leg.is_empty()).then(|| leg.into());
        let Some(key) = position.and_then(|at| self.keys.get_mut(at)) else {
            self.keys.push(Key {
                name: name.into(),
                resource,
                leg: leg.and_then(owned),
                claims: claims.unwrap_or(false),
                stored: false,
            });
            return;
        };
        key.claims = claims.unwrap_or(key.claims);
        if key.resource != resource {
            (key.resource, key.stored) = (resource, false);
        }
        if let Some(leg) = leg.filter(|_| !same_leg(key)) {
            (key.leg, key.stored) = (owned(leg), false);
        }
    }

    /// Where in `keys` the key is that has the name, or had it before the store gave it another one.
    fn position(&self, name: &str) -> Option<usize> {
        let at = |name: &str| self.keys.iter().position(|key| *key.name == *name);
        at(name).or_else(|| {
            let mut last = None;
            for renamed in &self.renamed {
                if *renamed.from == *last.unwrap_or(name) {
                    last = Some(&*renamed.to);
                }
            }
            last.and_then(at)
        })
    }

    /// The key that has the name, or had it before the store gave it another one.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.get(self.position(name)?)
    }

    /// The name that the key `name` has now.
    #[must_use]
    pub fn name_now(&self, name: &Rc<str>) -> Rc<str> {
        let key = if self.renamed.is_empty() {
            None
        } else {
            self.key(name)
        };
        Rc::clone(key.map_or(name, |key| &key.name))
    }

    /// The store has other names for keys.
    pub fn rename_keys(&mut self, renamed: &[Renamed]) {
        let is_projected = self.origin.is_some();
        for renamed in renamed {
            if !self.renamed.contains(renamed) {
                self.renamed.push(renamed.clone());
            }
            // A key that does not claim was moved here since, with the name that the other one has had.
            let had_name = |key: &Key| key.name == renamed.from && (key.claims || is_projected);
            let Some(at) = self.keys.iter().position(had_name) else {
                continue;
            };
            self.has_new_names = true;
            if self.keys.iter().any(|key| key.name == renamed.to) {
                self.keys.remove(at);
            } else {
                self.keys[at].name = Rc::clone(&renamed.to);
            }
        }
    }

    /// The id of the key of a dialog, if one of its keys is that ([`leg::matches`]).
    #[must_use]
    pub fn key_of(&self, call_id: &str, remote: Option<&str>, local: Option<&str>) -> Option<&str> {
        let fits = self.keys.iter().filter_map(|key| {
            let id = key.name.strip_prefix(KEY_PREFIX)?;
            let fits = leg::matches(id, key.leg.as_deref(), call_id, remote, local)?;
            Some((fits, id))
        });
        fits.reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map(|(_, id)| id)
    }

    /// Whether the key `name` is that of a challenged request that waits for its retry.
    #[must_use]
    pub fn awaits_retry(&self, name: &str) -> bool {
        let leg = self.key(name).and_then(|key| key.leg.as_deref());
        leg.and_then(Leg::parse).is_some_and(|leg| leg.awaits_retry)
    }

    /// Removes a key from the record.
    pub fn drop_key(&mut self, name: &str) {
        self.keys.retain(|key| *key.name != *name);
    }
}
