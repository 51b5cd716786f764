//! A change of a session's data, as the top-level properties that it sets and those that it removes. JavaScript makes
//! patches, Rust composes them, stores send them as fields.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use serde::de::Error as _;
use serde_json::value::RawValue;

use super::fields::{self, Changes, EMPTY, Field};

thread_local! {
    static NOTHING: (Rc<str>, Rc<[Rc<str>]>) = (EMPTY.into(), Rc::default());
}

/// See the module. A property that is set is not among the removed ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Patch {
    /// The text of the JSON object that has the properties to be set.
    set: Rc<str>,
    /// The names of the properties to be removed, as JSON writes them, without the quotes.
    removed: Rc<[Rc<str>]>,
}

impl Default for Patch {
    fn default() -> Self {
        NOTHING.with(|(set, removed)| Self {
            set: Rc::clone(set),
            removed: Rc::clone(removed),
        })
    }
}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set {} remove {:?}", self.set, self.removed)
    }
}

impl Patch {
    /// The patch that sets the properties of the JSON object `set`.
    #[must_use]
    pub fn setting(set: impl Into<Rc<str>>) -> Self {
        Self {
            set: set.into(),
            ..Self::default()
        }
    }

    /// The patch that sets the properties of the JSON object `set`, and removes those that the JSON array `removed` names.
    ///
    /// # Errors
    /// When `removed` is not the text of an array of strings.
    pub fn parse(set: Option<String>, removed: Option<&str>) -> Result<Self, serde_json::Error> {
        let mut patch = set.map_or_else(Self::default, Self::setting);
        if let Some(removed) = removed {
            let names: Vec<&RawValue> = serde_json::from_str(removed)?;
            let name = |name: &RawValue| {
                let text = name.get().strip_prefix('"');
                let text = text.and_then(|text| text.strip_suffix('"'));
                text.map(Into::into)
                    .ok_or_else(|| serde_json::Error::custom("the name of a property is a string"))
            };
            patch.removed = names.into_iter().map(name).collect::<Result<_, _>>()?;
        }
        Ok(patch)
    }

    /// The patch that turns the JSON object `base` into `now`.
    ///
    /// # Errors
    /// When one of them is not the text of a JSON object.
    pub fn between(base: &str, now: &str) -> Result<Self, serde_json::Error> {
        let (base, now) = (fields::split(base)?, fields::split(now)?);
        Ok(fields::diff(&base, &now).into())
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && *self.set == *EMPTY
    }

    /// The bytes of its texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len() + self.removed.iter().map(|name| name.len()).sum::<usize>()
    }

    /// The text of the JSON object that has the properties to be set.
    #[must_use]
    pub fn set(&self) -> &Rc<str> {
        &self.set
    }

    /// Its properties.
    ///
    /// # Errors
    /// When `set` is not the text of a JSON object. The glue in JavaScript makes no such patch.
    pub fn changes(&self) -> Result<Changes<'_>, serde_json::Error> {
        Ok(Changes {
            set: fields::split(&self.set)?,
            removed: self.removed.iter().map(|name| &**name).collect(),
        })
    }

    /// The patch that has the effect of this one and then `later`.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        if later.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return later.clone();
        }
        self.combined(later, later, |first, second| {
            let removed: HashSet<&str> = second.removed.iter().copied().collect();
            let set_later: HashMap<&str, &str> = second.set.iter().copied().collect();
            let is_left = |name: &str| !removed.contains(name) && !set_later.contains_key(name);
            let mut set: Vec<Field<'_>> = first.set;
            set.retain(|(name, _)| is_left(name));
            set.extend(second.set.iter().copied());
            let mut gone = first.removed;
            gone.retain(|name| is_left(name));
            gone.extend(second.removed.iter().copied());
            Changes { set, removed: gone }
        })
    }

    /// The part of this patch that is left after `done`: without the properties that both set to one value, or remove.
    #[must_use]
    pub fn without(&self, done: &Self) -> Self {
        if self.is_empty() || done.is_empty() {
            return self.clone();
        }
        self.combined(done, self, |mut mine, done| {
            mine.set.retain(|field| !done.set.contains(field));
            mine.removed.retain(|name| !done.removed.contains(name));
            mine
        })
    }

    /// This patch without the properties that `other` sets or removes.
    #[must_use]
    pub fn except(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        self.combined(other, self, |mut mine, other| {
            let names: HashSet<&str> = other.names().collect();
            mine.set.retain(|(name, _)| !names.contains(name));
            mine.removed.retain(|name| !names.contains(name));
            mine
        })
    }

    /// The patch that `combine` makes of both. Texts from JavaScript or a store can be split; should one not be, the result
    /// is `fallback`.
    fn combined<'a>(
        &'a self,
        other: &'a Self,
        fallback: &Self,
        combine: impl FnOnce(Changes<'a>, Changes<'a>) -> Changes<'a>,
    ) -> Self {
        match (self.changes(), other.changes()) {
            (Ok(mine), Ok(other)) => combine(mine, other).into(),
            _ => fallback.clone(),
        }
    }

    /// The text of `{"set":{...},"removed":[...]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let removed: Vec<String> = self
            .removed
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        format!(
            "{{\"set\":{},\"removed\":[{}]}}",
            self.set,
            removed.join(",")
        )
    }
}

impl From<Changes<'_>> for Patch {
    fn from(changes: Changes<'_>) -> Self {
        if changes.is_empty() {
            return Self::default();
        }
        Self {
            set: fields::join(changes.set).into(),
            removed: changes.removed.into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(set: &str, removed: &str) -> Patch {
        Patch::parse(Some(set.to_owned()), Some(removed)).expect("a patch")
    }

    #[test]
    fn two_patches_in_a_row_are_one() {
        let first = patch(r#"{"a":1,"b":1}"#, r#"["c","d"]"#);
        let second = patch(r#"{"b":2,"c":3}"#, r#"["a"]"#);
        assert_eq!(
            first.then(&second),
            patch(r#"{"b":2,"c":3}"#, r#"["d","a"]"#)
        );
        assert_eq!(first.then(&Patch::default()), first);
        assert_eq!(Patch::default().then(&first), first);
    }

    #[test]
    fn changes_that_were_done_are_left_out() {
        let mine = patch(r#"{"a":1,"b":2}"#, r#"["c"]"#);
        let done = patch(r#"{"a":1,"b":1}"#, r#"["c","d"]"#);
        assert_eq!(mine.without(&done), patch(r#"{"b":2}"#, "[]"));
        assert_eq!(mine.except(&done), Patch::default());
    }

    #[test]
    fn a_patch_is_read_as_javascript_writes_it() {
        let names = r#"["a","q\"","\ud800"]"#;
        let read = patch("{}", names);
        assert_eq!(
            read.to_json(),
            format!("{{\"set\":{{}},\"removed\":{names}}}")
        );
        assert!(!read.is_empty() && Patch::parse(None, None).is_ok_and(|patch| patch.is_empty()));
        for wrong in ["", "{}", "[", "[1"] {
            assert!(Patch::parse(None, Some(wrong)).is_err(), "{wrong}");
        }
    }
}
