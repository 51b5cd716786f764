//! The properties of a data object, in their order.

use drachtio_session::session::fields;

use std::rc::Rc;

use crate::server::{Pairs, Text};

/// A change of the data object: properties with their new value, or without one.
pub type Changes = Vec<(Text, Option<Text>)>;

pub fn get<'a>(data: &'a Pairs, name: &str) -> Option<&'a Text> {
    data.iter()
        .find(|(there, _)| **there == *name)
        .map(|(_, value)| value)
}

pub(super) fn put(data: &mut Pairs, name: &str, value: Option<&Text>) {
    match (data.iter().position(|(there, _)| **there == *name), value) {
        (Some(at), Some(value)) => data[at].1 = Rc::clone(value),
        (None, Some(value)) => data.push((name.into(), Rc::clone(value))),
        (Some(at), None) => drop(data.remove(at)),
        (None, None) => {}
    }
}

pub(super) fn parsed(text: &str) -> Pairs {
    let fields = fields::split(text).unwrap_or_default();
    fields
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

pub(super) fn joined(data: &Pairs) -> String {
    fields::join(data.iter().map(|(name, value)| (&**name, &**value)))
}

pub(super) fn sorted(text: &str) -> Pairs {
    let mut fields = parsed(text);
    fields.sort();
    fields
}

/// Whether fields of the server, whose names begin with a dot, are these properties.
pub(super) fn same_fields(there: &Pairs, known: &Pairs) -> bool {
    there.len() == known.len()
        && there
            .iter()
            .zip(known)
            .all(|((field, one), (name, other))| field[1..] == **name && one == other)
}
