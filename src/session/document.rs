//! The data of a session at one moment: the text of a JSON object, or a text with a patch that is not applied yet. So the
//! cost of a change to one property of a large session depends on the length of that property only.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::fields::{self, EMPTY};
use super::patch::Patch;

#[derive(Clone)]
enum Form {
    Text(Rc<str>),
    /// A text, and a patch that is not applied to it yet. The patch is shorter than the text.
    Patched(Rc<str>, Patch),
}

/// See the module. Clones share the text.
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
        Self(Rc::new(RefCell::new(Form::Text(text))))
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
    /// Applies the patch, if there is one. This frees the memory of the values that it replaces.
    pub fn flatten(&self) {
        let mut form = self.0.borrow_mut();
        if let Form::Patched(text, patch) = &*form {
            *form = Form::Text(applied(text, patch));
        }
    }

    /// The text of the JSON object.
    #[must_use]
    pub fn text(&self) -> Rc<str> {
        self.flatten();
        match &*self.0.borrow() {
            Form::Text(text) | Form::Patched(text, _) => Rc::clone(text),
        }
    }

    /// The document after `patch`.
    #[must_use]
    pub fn apply(&self, patch: &Patch) -> Self {
        if patch.is_empty() {
            return self.clone();
        }
        let (text, patch) = match &*self.0.borrow() {
            Form::Text(text) if **text == *EMPTY => return Self::from(Rc::clone(patch.set())),
            Form::Text(text) => (Rc::clone(text), patch.clone()),
            Form::Patched(text, earlier) => (Rc::clone(text), earlier.then(patch)),
        };
        let form = if patch.len() < text.len() {
            Form::Patched(text, patch)
        } else {
            Form::Text(applied(&text, &patch))
        };
        Self(Rc::new(RefCell::new(form)))
    }

    /// Whether both share one text, so that a comparison is not necessary.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it has no properties.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self.text() == *EMPTY
    }

    /// The bytes that it takes, approximately.
    #[must_use]
    pub fn len(&self) -> usize {
        match &*self.0.borrow() {
            Form::Text(text) => text.len(),
            Form::Patched(text, patch) => text.len() + patch.len(),
        }
    }

    /// The patch that turns this document into `other`.
    ///
    /// # Errors
    /// When one of them is not the text of a JSON object. The text of a store is checked when it is read.
    pub fn patch_to(&self, other: &Self) -> Result<Patch, serde_json::Error> {
        if self.is_same(other) {
            return Ok(Patch::default());
        }
        Patch::between(&self.text(), &other.text())
    }
}

/// The text after `patch`. Both were split before; should that fail now, the changed properties are kept.
fn applied(text: &Rc<str>, patch: &Patch) -> Rc<str> {
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
