//! One key of a session.

use std::rc::Rc;

use super::stored::NamedKey;

/// A name that a session is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `mks:` and the id.
    pub name: Rc<str>,
    /// The JSON text of the resource.
    pub resource: Option<String>,
    /// The leg descriptor, of the key of a dialog ([`super::leg`]).
    pub leg: Option<Rc<str>>,
    /// Whether it begins a dialog, and must not take its name from another one.
    pub claims: bool,
    /// Whether the store has the key with this resource and this leg.
    pub stored: bool,
}

impl Key {
    /// The key as a store gets it.
    #[must_use]
    pub fn named(&self) -> NamedKey {
        NamedKey {
            name: Rc::clone(&self.name),
            resource: self.resource.clone(),
            leg: self.leg.clone(),
            claims: self.claims,
        }
    }

    pub(super) fn of(stored: NamedKey) -> Self {
        let NamedKey {
            name,
            resource,
            leg,
            claims: _,
        } = stored;
        Self {
            name,
            resource,
            leg,
            claims: false,
            stored: true,
        }
    }

    /// Whether it is stored just as `stored` says.
    pub(super) fn is(&self, stored: &NamedKey) -> bool {
        self.name == stored.name && self.resource == stored.resource && self.leg == stored.leg
    }
}
