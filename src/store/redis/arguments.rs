//! Arguments of commands: names with a prefix, and the fields that a script writes.

use std::io::Write as _;

use redis::{Cmd, RedisWrite};

use super::layout;
use crate::session::fields::Changes;
use crate::session::{NamedKey, leg};

/// Adds two texts as one argument.
pub fn joined(command: &mut Cmd, first: &str, second: &str) {
    let mut argument = command.writer_for_next_arg();
    // Writing to memory does not fail.
    let _ = argument
        .write_all(first.as_bytes())
        .and_then(|()| argument.write_all(second.as_bytes()));
}

/// The fields that a script sets and deletes: the last arguments of `save.lua` and `remove.lua`.
pub struct Fields<'a> {
    /// The properties.
    pub changes: Changes<'a>,
    /// The keys to be set.
    pub keys: &'a [NamedKey],
    /// The writer's field, and the sequence number of the write.
    pub stamp: Option<(&'a str, u64)>,
    /// The TTL, ms; `None` for no end.
    pub ttl: Option<u64>,
}

impl Fields<'_> {
    /// Adds the arguments: how many strings are set, then each field and its value (keys, the writer, `ttl`,
    /// properties), then the fields to be deleted.
    pub fn write(&self, command: &mut Cmd) {
        let (set, removed) = (&self.changes.set, &self.changes.removed);
        let count = self.keys.len() + usize::from(self.stamp.is_some()) + 1 + set.len();
        command.arg(2 * count);
        for key in self.keys {
            joined(command, "@", &key.name);
            let resource = key.resource.as_deref();
            match (key.leg.as_deref(), resource) {
                (None, resource) => command.write_arg(resource.unwrap_or_default().as_bytes()),
                (Some(leg), None) => command.write_arg(leg.as_bytes()),
                (leg, resource) => command.write_arg(leg::joined(leg, resource).as_bytes()),
            }
        }
        if let Some((writer, sequence)) = self.stamp {
            command.write_arg(writer.as_bytes());
            command.arg(sequence);
        }
        command.write_arg(b"ttl");
        command.arg(layout::ttl_field(self.ttl.unwrap_or(0)));
        for (name, value) in set {
            joined(command, ".", name);
            command.write_arg(value.as_bytes());
        }
        for name in removed {
            joined(command, ".", name);
        }
    }
}
