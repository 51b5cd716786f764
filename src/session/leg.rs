//! The leg descriptor of a key, and the names of a dialog's key. `docs/storage.md` has both.
//!
//! A leg descriptor is the text `<TAG` (a request that was received began the dialog: TAG is the remote tag) or `>TAG` (a
//! request that was sent: TAG is the local tag), then flags of one character, each after a space; or `?` alone. The flag
//! `?` means that the request was challenged and waits for its retry, `s` that a SUBSCRIBE formed the dialog.
//!
//! A dialog is named by its Call-ID. Where another dialog has that name, `;remote-tag=` or `;local-tag=` and the tag
//! follow, and `;session=` and the end of the session's uuid where that is in use as well.

use std::rc::Rc;

/// The flag of a challenged request that waits for its retry.
const RETRY: char = '?';

/// The last digits of the uuid that make a name unique.
const DIGITS: usize = 12;

/// The side that has begun a dialog, and its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag<'a> {
    /// The remote side has begun the dialog; its tag.
    Remote(&'a str),
    /// The application has begun the dialog; its tag.
    Local(&'a str),
}

impl Tag<'_> {
    /// What follows the Call-ID in the name of a dialog whose Call-ID is in use.
    fn suffix(self) -> String {
        match self {
            Self::Remote(tag) => [";remote-tag=", tag].concat(),
            Self::Local(tag) => [";local-tag=", tag].concat(),
        }
    }
}

/// A leg descriptor. See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg<'a> {
    /// Which side has begun the dialog; absent in `?` alone.
    pub tag: Option<Tag<'a>>,
    /// Whether the request was challenged and waits for its retry.
    pub awaits_retry: bool,
}

impl<'a> Leg<'a> {
    /// The leg descriptor `text`; nothing if it is none.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if text == "?" {
            return Some(Self {
                tag: None,
                awaits_retry: true,
            });
        }
        let (tag, flags) = text
            .split_once(' ')
            .map_or((text, ""), |(tag, _)| (tag, &text[tag.len()..]));
        let side = tag.as_bytes().first()?;
        let tag = tag.get(1..).filter(|tag| !tag.is_empty())?;
        if text.contains(char::is_control) {
            return None;
        }
        let mut awaits_retry = false;
        let mut flags = flags.chars();
        while let Some(space) = flags.next() {
            let flag = flags.next().filter(|flag| space == ' ' && *flag != ' ')?;
            awaits_retry |= flag == RETRY;
        }
        let tag = match side {
            b'<' => Tag::Remote(tag),
            b'>' => Tag::Local(tag),
            _ => return None,
        };
        Some(Self {
            tag: Some(tag),
            awaits_retry,
        })
    }

    /// Whether a dialog with the leg `other` must not take the name of a key with this leg: it belongs to another dialog, or to
    /// the challenged request of another caller.
    #[must_use]
    pub fn keeps_name_from(self, other: Self) -> bool {
        self.tag.is_some() && (!self.awaits_retry || self.tag != other.tag)
    }
}

/// Whether a key with the leg `theirs` keeps its name from a key with the leg `mine` ([`Leg::keeps_name_from`]).
#[must_use]
pub fn keeps_name(theirs: Option<&str>, mine: Option<&str>) -> bool {
    match (theirs.and_then(Leg::parse), mine.and_then(Leg::parse)) {
        (Some(theirs), Some(mine)) => theirs.keeps_name_from(mine),
        _ => false,
    }
}

/// Whether a key with this leg can have another name ([`alternative`]): it has a tag.
#[must_use]
pub fn has_tag(leg: Option<&str>) -> bool {
    leg.is_some_and(|leg| leg.starts_with(['<', '>']))
}

/// The next name for the key `name` of a dialog, where another dialog has that one; nothing where `name` is the last
/// resort, or the leg has no tag.
#[must_use]
pub fn alternative(name: &str, leg: Option<&str>, uuid: &str) -> Option<Rc<str>> {
    let suffix = Leg::parse(leg?)?.tag?.suffix();
    let last = [";session=", &uuid[uuid.len().saturating_sub(DIGITS)..]].concat();
    if name.ends_with(&last) {
        return None;
    }
    let tagged = if name.ends_with(&suffix) {
        Some(name)
    } else {
        // Several dialogs of one process differ by the branch.
        let at = name.rfind(&[&suffix, ";branch="].concat());
        at.map(|at| &name[..at + suffix.len()])
    };
    let next = tagged.map_or_else(
        || [name, &suffix].concat(),
        |tagged| [tagged, &last].concat(),
    );
    Some(next.into())
}

/// The ids by which a dialog is looked up, in order: its Call-ID, with the remote tag, with the local tag.
#[must_use]
pub fn dialog_ids(call_id: &str, remote: Option<&str>, local: Option<&str>) -> Vec<String> {
    let tags = [remote.map(Tag::Remote), local.map(Tag::Local)];
    let tags = tags.into_iter().flatten();
    let tagged = tags.map(|tag| [call_id, &tag.suffix()].concat());
    std::iter::once(call_id.to_owned()).chain(tagged).collect()
}

/// How well a key fits a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// It is named by the Call-ID, and has no leg with a tag: it may be the key of any dialog with that Call-ID.
    ByName,
    /// Its name and its leg are those of the dialog.
    ByLeg,
}

/// Whether the key with this id and leg is that of a dialog. A tag that is not known yet is absent.
#[must_use]
pub fn matches(
    id: &str,
    leg: Option<&str>,
    call_id: &str,
    remote: Option<&str>,
    local: Option<&str>,
) -> Option<Match> {
    // Every name of a dialog begins with its Call-ID.
    let rest = id.strip_prefix(call_id)?;
    if !rest.is_empty() && !rest.starts_with(';') {
        return None;
    }
    let is_same = match leg.and_then(Leg::parse).and_then(|leg| leg.tag) {
        Some(Tag::Remote(tag)) => remote == Some(tag),
        Some(Tag::Local(tag)) => local == Some(tag),
        None => return rest.is_empty().then_some(Match::ByName),
    };
    is_same.then_some(Match::ByLeg)
}

/// A key's leg and resource as one text, as the stores keep them: the leg, then, if there is a resource, a line feed and
/// its JSON text; without a leg only the resource.
#[must_use]
pub fn joined(leg: Option<&str>, resource: Option<&str>) -> String {
    match (leg, resource) {
        (Some(leg), Some(resource)) => [leg, "\n", resource].concat(),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => String::new(),
    }
}

/// The leg and the resource of a text from [`joined`]. JSON text begins with none of the characters of a leg.
#[must_use]
pub fn split(text: &str) -> (Option<&str>, Option<&str>) {
    if text.starts_with(['<', '>', '?']) {
        text.split_once('\n')
            .map_or((Some(text), None), |(leg, resource)| {
                (Some(leg), Some(resource))
            })
    } else {
        (None, (!text.is_empty()).then_some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_says_who_has_begun_the_dialog_and_whether_it_waits() {
        let leg = |tag, awaits_retry| Some(Leg { tag, awaits_retry });
        assert_eq!(Leg::parse("<a"), leg(Some(Tag::Remote("a")), false));
        assert_eq!(Leg::parse(">b s"), leg(Some(Tag::Local("b")), false));
        assert_eq!(Leg::parse("<a ?"), leg(Some(Tag::Remote("a")), true));
        assert_eq!(Leg::parse("<a s ?"), leg(Some(Tag::Remote("a")), true));
        assert_eq!(Leg::parse("<?"), leg(Some(Tag::Remote("?")), false));
        assert_eq!(Leg::parse("?"), leg(None, true));
        for none in [
            "", "<", "a", "a ?", "< ?", "<a ", "<a  ", "<a ?s", "<a\n", "<a\0", "? ", "?s",
        ] {
            assert_eq!(Leg::parse(none), None, "{none:?}");
        }
        assert!(has_tag(Some("<a ?")));
        assert!(keeps_name(Some("<a s"), Some("<a")) && keeps_name(Some("<b ?"), Some("<a")));
        assert!(!keeps_name(Some("<a ?"), Some("<a")) && !keeps_name(Some("?"), Some("<a")));
        assert!(!keeps_name(None, Some("<a")));
        assert!(!has_tag(Some("?")) && !has_tag(None));
    }

    #[test]
    fn each_name_has_a_next_one_up_to_the_last_resort() {
        let uuid = "mks:session:dec3f4f2-6a5f-4f36-a1f1-9d2b0c1a7f10";
        let next = |name: &str, leg| alternative(name, Some(leg), uuid);
        let tagged = "mks:a;remote-tag=t";
        let last = "mks:a;remote-tag=t;session=9d2b0c1a7f10";
        assert_eq!(next("mks:a", "<t s").as_deref(), Some(tagged));
        assert_eq!(next(tagged, "<t").as_deref(), Some(last));
        let branch = "mks:a;remote-tag=t;branch=z9";
        assert_eq!(next(branch, "<t").as_deref(), Some(last));
        assert_eq!(next(last, "<t"), None);
        assert_eq!(next("mks:a", ">t").as_deref(), Some("mks:a;local-tag=t"));
        assert_eq!(next("mks:a", "?"), None);
        assert_eq!(alternative("mks:a", None, uuid), None);
    }

    #[test]
    fn a_dialog_is_looked_up_by_its_call_id_first() {
        let ids = dialog_ids("a", Some("r"), Some("l"));
        assert_eq!(ids, ["a", "a;remote-tag=r", "a;local-tag=l"]);
        assert_eq!(dialog_ids("a", None, Some("l")), ["a", "a;local-tag=l"]);
        assert_eq!(dialog_ids("a", None, None), ["a"]);
    }

    #[test]
    fn a_key_is_that_of_a_dialog_if_its_leg_has_the_tag_of_that_side() {
        let of = |id, leg| matches(id, leg, "a", Some("r"), Some("l"));
        assert_eq!(of("a", Some("<r")), Some(Match::ByLeg));
        assert_eq!(of("a", Some(">l s ?")), Some(Match::ByLeg));
        assert_eq!(of("a;remote-tag=r", Some("<r")), Some(Match::ByLeg));
        let branch = "a;remote-tag=r;branch=z";
        assert_eq!(of(branch, Some("<r")), Some(Match::ByLeg));
        assert_eq!(of("a", None), Some(Match::ByName));
        assert_eq!(of("a", Some("?")), Some(Match::ByName));
        assert_eq!(of("a;remote-tag=r", None), None);
        for other in ["<l", ">r", "<x", ">x"] {
            assert_eq!(of("a", Some(other)), None, "{other}");
        }
        assert_eq!(of("ab", Some("<r")), None);
        assert_eq!(of("b", None), None);
        assert_eq!(matches("a", Some(">l"), "a", Some("l"), None), None);
    }

    #[test]
    fn a_leg_and_a_resource_are_one_text() {
        for (leg, resource, text) in [
            (None, None, ""),
            (None, Some("{}"), "{}"),
            (Some("<a"), None, "<a"),
            (Some("?"), Some("\"x\""), "?\n\"x\""),
            (Some(">a s"), Some("[\"\\n\"]"), ">a s\n[\"\\n\"]"),
        ] {
            assert_eq!(joined(leg, resource), text);
            assert_eq!(split(text), (leg, resource));
        }
    }
}
