//! The data of a stored session: compact as long as it is as it was first stored, then a document, so that a change of one
//! property does not copy the whole.

use super::text::Text;
use crate::session::{Change, Document};

/// See the module.
pub enum Data {
    /// A text that was not changed yet.
    Compact(Text),
    /// What changes have made of it.
    Changed(Document),
}

impl Data {
    /// The data of a session that is stored for the first time.
    pub fn new(document: &Document) -> Self {
        Self::Compact((&*document.text()).into())
    }

    /// The data, for a load.
    pub fn document(&self) -> Document {
        match self {
            Self::Compact(text) => text.join().into(),
            Self::Changed(document) => document.clone(),
        }
    }

    /// Makes a change.
    pub fn apply(&mut self, change: &Change) {
        if change.patch.is_empty() {
            return;
        }
        // What the writer has based its change on is nearly always what is stored.
        let is_base = match self {
            Self::Compact(text) => *text == *change.base.text(),
            Self::Changed(document) => document.is_same(&change.base),
        };
        *self = Self::Changed(if is_base {
            change.result.clone()
        } else {
            self.document().apply(&change.patch)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Patch;

    #[test]
    fn a_change_is_made_to_what_is_stored_whatever_the_writer_knew() {
        let first = Document::from(r#"{"a":1}"#);
        let mut data = Data::new(&first);
        let mine = Change::new(first.clone(), Patch::setting(r#"{"b":2}"#));
        data.apply(&mine);
        assert!(data.document().is_same(&mine.result));
        let stale = Change::new(first, Patch::setting(r#"{"c":3}"#));
        data.apply(&stale);
        assert_eq!(&*data.document().text(), r#"{"a":1,"b":2,"c":3}"#);
    }
}
