//! Arguments and results of the functions: what they are in Rust, and what JavaScript gives and gets.

use std::cell::RefCell;

use napi::bindgen_prelude::{Either7, Null, Undefined};

use super::node_api::{Handle, JsError, Name, Result, Text};
use crate::engine::{Shared, Value};
use crate::error::{Error, Kind};
use crate::session::{KEY_PREFIX, Patch, Record};

/// A record, for JavaScript.
pub type RecordHandle = Handle<RefCell<Record>>;

/// `undefined` (not completed yet), `null`, a flag, a number, a text, texts, or the handle of a record.
pub type Output = Either7<Undefined, Null, bool, f64, Text, Vec<String>, RecordHandle>;

/// The error as JavaScript throws it.
pub fn thrown(error: Error) -> JsError {
    JsError::new(error.kind.code().to_owned(), error.message)
}

/// The patch of the JSON texts `set` (an object) and `removed` (an array of strings). An absent one is empty.
///
/// # Errors
/// `Argument` when `removed` is not an array of strings.
pub fn patch_of(set: Option<Text>, removed: Option<Text>) -> Result<Patch> {
    let removed = removed.as_ref().map(|names| names.0.as_str());
    Patch::parse(set.map(|text| text.0), removed).map_err(|why| {
        let message = format!("the names of removed properties must be an array of strings: {why}");
        thrown(Error::new(Kind::Argument, message))
    })
}

/// The name of the key with this id.
///
/// # Errors
/// `Argument` when the id is empty.
pub fn name_of(id: Name) -> Result<String> {
    if id.0 == KEY_PREFIX {
        return Err(thrown(Error::new(
            Kind::Argument,
            "the id of a key must be a string that is not empty",
        )));
    }
    Ok(id.0)
}

/// A count, as JavaScript has it.
#[allow(clippy::cast_precision_loss)] // counts and times stay below 2^53
pub fn number(count: u64) -> f64 {
    count as f64
}

/// The handle of a record for JavaScript.
pub fn handle_of(record: Shared) -> RecordHandle {
    let size = record.borrow().projected.len() + size_of::<Record>();
    Handle::new(record, size)
}

/// The result of an operation, for JavaScript.
pub fn output(value: Value) -> Output {
    match value {
        Value::Nothing => Output::B(Null),
        Value::Current(current) => Output::C(current),
        Value::Count(count) => Output::D(number(count)),
        Value::Text(text) => Output::E(Text(text)),
        Value::Texts(texts) => Output::F(texts),
        Value::Session(record) => Output::G(handle_of(record)),
    }
}
