//! The data of a session at one moment. A change of one property must not cost as much as the whole session is long, so a
//! document is the text of a JSON object only until it is changed: after the first patch it is the text and that patch,
//! after the second one a list of properties, which share their texts with the documents before and after.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::fields::{self, Changes, EMPTY, Field};
use super::patch::Patch;

/// A property: its name as JSON writes it, without the quotes, and the JSON text of its value.
type Property = (Rc<str>, Rc<str>);

/// With more comparisons of names than this, hashing them is faster.
const MOST_COMPARISONS: usize = 4096;

#[derive(Clone)]
enum Form {
    Text(Rc<str>),
    /// A text, and what has changed since.
    Patched(Rc<str>, Patch),
    /// The properties, and the bytes of their texts.
    Properties(Rc<[Property]>, usize),
}

/// See the module. Clones share the texts.
#[derive(Clone)]
pub struct Document(Rc<RefCell<Form>>);

thread_local! {
    static NOTHING: Document = Document::from(EMPTY);
}

impl Default for Document {
    fn default() -> Self {
        NOTHING.with(Self::clone)
    }
}

impl From<Rc<str>> for Document {
    fn from(text: Rc<str>) -> Self {
        Self::new(Form::Text(text))
    }
}

impl From<&str> for Document {
    fn from(text: &str) -> Self {
        Rc::<str>::from(text).into()
    }
}

impl From<String> for Document {
    fn from(text: String) -> Self {
        Rc::<str>::from(text).into()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.text() == other.text()
    }
}

impl Eq for Document {}

impl Document {
    fn new(form: Form) -> Self {
        Self(Rc::new(RefCell::new(form)))
    }

    /// The text of the JSON object.
    #[must_use]
    pub fn text(&self) -> Rc<str> {
        self.flatten();
        match &*self.0.borrow() {
            Form::Text(text) | Form::Patched(text, _) => Rc::clone(text),
            Form::Properties(properties, _) => joined(properties),
        }
    }

    /// Applies the patch to a text that has one: what it replaces takes no memory any more.
    pub fn flatten(&self) {
        let mut form = self.0.borrow_mut();
        if let Form::Patched(text, patch) = &*form {
            *form = Form::Text(applied(text, patch));
        }
    }

    /// The document after `patch`.
    #[must_use]
    pub fn apply(&self, patch: &Patch) -> Self {
        if patch.is_empty() {
            return self.clone();
        }
        Self::new(match &*self.0.borrow() {
            Form::Text(text) if **text == *EMPTY => Form::Text(Rc::clone(patch.set())),
            Form::Text(text) => Form::Patched(Rc::clone(text), patch.clone()),
            Form::Patched(text, earlier) => {
                match split(text).and_then(|properties| changed(&properties, earlier)) {
                    Some(properties) => with_patch(&properties, patch),
                    None => Form::Text(applied(&applied(text, earlier), patch)),
                }
            }
            Form::Properties(properties, _) => with_patch(properties, patch),
        })
    }

    /// Whether both are one, so that there is nothing to be compared.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it has no properties.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &*self.0.borrow() {
            Form::Text(text) => **text == *EMPTY,
            Form::Patched(text, patch) => *applied(text, patch) == *EMPTY,
            Form::Properties(properties, _) => properties.is_empty(),
        }
    }

    /// Bytes that it takes, about.
    #[must_use]
    pub fn len(&self) -> usize {
        match &*self.0.borrow() {
            Form::Text(text) => text.len(),
            Form::Patched(text, patch) => text.len() + patch.len(),
            Form::Properties(properties, bytes) => {
                bytes + properties.len() * (size_of::<Property>() + 2 * RC_HEADER)
            }
        }
    }

    /// What turns this document into `other`.
    ///
    /// # Errors
    /// When one of them is not the text of a JSON object: what a store has was checked when it was read.
    pub fn patch_to(&self, other: &Self) -> Result<Patch, serde_json::Error> {
        if self.is_same(other) {
            return Ok(Patch::default());
        }
        Patch::between(&self.text(), &other.text())
    }
}

/// Bytes that a shared text takes besides its letters: two counts.
const RC_HEADER: usize = 2 * size_of::<usize>();

fn split(text: &str) -> Option<Vec<Property>> {
    let owned = |(name, value): Field<'_>| (name.into(), value.into());
    fields::split(text)
        .ok()
        .map(|properties| properties.into_iter().map(owned).collect())
}

fn joined(properties: &[Property]) -> Rc<str> {
    let mut fields: Vec<Field<'_>> = properties
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    fields::order(&mut fields);
    fields::join(fields).into()
}

fn with_patch(properties: &[Property], patch: &Patch) -> Form {
    let Some(properties) = changed(properties, patch) else {
        return Form::Text(applied(&joined(properties), patch));
    };
    let bytes = properties
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let bytes = bytes.sum();
    Form::Properties(properties.into(), bytes)
}

/// The properties after `patch`; nothing where it is large, or can't be split.
fn changed(properties: &[Property], patch: &Patch) -> Option<Vec<Property>> {
    let Changes { set, removed } = patch.changes().ok()?;
    if properties.len() * (set.len() + removed.len()) > MOST_COMPARISONS {
        return None;
    }
    let mut properties = properties.to_vec();
    if !removed.is_empty() {
        properties.retain(|(name, _)| !removed.contains(&&**name));
    }
    for (name, value) in set {
        match properties.iter_mut().find(|(known, _)| **known == *name) {
            Some(property) => property.1 = value.into(),
            None => properties.push((name.into(), value.into())),
        }
    }
    Some(properties)
}

/// Both were split before; a text that can't be is no reason to lose what was written.
fn applied(text: &str, patch: &Patch) -> Rc<str> {
    match (fields::split(text), patch.changes()) {
        (Ok(properties), Ok(changes)) => fields::apply(&properties, &changes).into(),
        _ => Rc::clone(patch.set()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(set: &str, removed: &str) -> Patch {
        Patch::parse(Some(set.to_owned()), Some(removed)).expect("a patch")
    }

    #[test]
    fn patches_are_applied_when_the_text_is_read() {
        let large = format!(r#"{{"a":1,"b":2,"c":"{}"}}"#, "x".repeat(100));
        let first = Document::from(large.as_str());
        let second = first.apply(&patch(r#"{"b":3}"#, "[]"));
        let third = second.apply(&patch(r#"{"d":4}"#, r#"["a"]"#));
        let tail = "x".repeat(100);
        assert_eq!(&*third.text(), format!(r#"{{"b":3,"c":"{tail}","d":4}}"#));
        assert_eq!(&*second.text(), format!(r#"{{"a":1,"b":3,"c":"{tail}"}}"#));
        assert_eq!(&*first.text(), large);
    }

    #[test]
    fn a_document_is_the_same_in_every_form() {
        let mut document = Document::from(r#"{"a":1,"b":2}"#);
        for turn in 0..6 {
            let set = format!(r#"{{"b":{turn},"{turn}":true,"c{turn}":"x"}}"#);
            document = document.apply(&patch(&set, r#"["c0","nothing"]"#));
        }
        let text = document.text();
        let names = r#""0":true,"1":true,"2":true,"3":true,"4":true,"5":true"#;
        let rest = r#""a":1,"b":5,"c1":"x","c2":"x","c3":"x","c4":"x","c5":"x""#;
        assert_eq!(*text, format!("{{{names},{rest}}}"));
        assert!(document.len() > text.len());
    }

    #[test]
    fn many_properties_are_changed_as_few_are() {
        let many = |value: u32| {
            let all: Vec<String> = (0..200)
                .map(|name| format!("\"p{name}\":{value}"))
                .collect();
            format!("{{{}}}", all.join(","))
        };
        let mut document = Document::from(many(0));
        for value in 1..4 {
            document = document.apply(&Patch::setting(many(value)));
            assert_eq!(*document.text(), many(value));
        }
    }

    #[test]
    fn a_patch_of_nothing_is_the_document() {
        let set = r#"{"a":1}"#;
        let made = Document::default().apply(&patch(set, r#"["b"]"#));
        assert_eq!(&*made.text(), set);
        assert!(made.apply(&Patch::default()).is_same(&made));
        assert!(made.apply(&patch("{}", r#"["a"]"#)).is_empty());
    }

    #[test]
    fn the_difference_of_two_documents_leads_from_one_to_the_other() {
        let one = Document::from(r#"{"a":1,"b":2}"#);
        let two = Document::from(r#"{"b":3,"c":4}"#);
        let patch = one.patch_to(&two).expect("objects");
        assert_eq!(one.apply(&patch), two);
        assert!(one.patch_to(&one).expect("an object").is_empty());
    }
}
