//! Values as they cross where napi-rs has a dearer way.
//!
//! The traits of napi-rs are unsafe: whoever implements one is handed an environment and a value that are alive, and only
//! there.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::ffi::c_void;
use std::ops::Deref;
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{FromNapiValue, JsValuesTupleIntoVec, ToNapiValue};
use napi::check_status;
use napi::sys::{
    Status, napi_adjust_external_memory, napi_create_external, napi_create_string_latin1, napi_env,
    napi_get_value_external, napi_get_value_string_latin1, napi_get_value_string_utf8, napi_value,
};

use crate::session::KEY_PREFIX;
use crate::session::fields;
use crate::session::fields::quoted;

/// Something of ours that JavaScript holds, as an external value, until it is collected.
///
/// An `External` of napi-rs is in a table of the whole process, under a lock, where each call looks it up; all worker threads
/// share it. This one says itself what it is of: JavaScript gets none of others to hand over.
pub struct Held<T: 'static> {
    inside: Rc<T>,
    /// Bytes that V8 is told of, on its way to JavaScript.
    size: i64,
}

/// What an external value points to.
#[repr(C)]
struct Content<T> {
    of: TypeId,
    inside: Rc<T>,
    /// Bytes that V8 was told of.
    size: i64,
}

impl<T> Held<T> {
    /// For JavaScript to hold. `size` lets V8 know how many bytes it would get back by collecting it.
    pub fn new(inside: Rc<T>, size: usize) -> Self {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Self { inside, size }
    }
}

impl<T> Deref for Held<T> {
    type Target = Rc<T>;

    fn deref(&self) -> &Rc<T> {
        &self.inside
    }
}

impl<T> ToNapiValue for Held<T> {
    unsafe fn to_napi_value(env: napi_env, held: Self) -> napi::Result<napi_value> {
        let Self { inside, size } = held;
        let content = Box::into_raw(Box::new(Content {
            of: TypeId::of::<T>(),
            inside,
            size,
        }));
        let mut value = ptr::null_mut();
        let hint = ptr::null_mut();
        // SAFETY: as the caller says, it is alive. The content is the external value's alone from here on.
        let status = unsafe {
            napi_create_external(
                env,
                content.cast(),
                Some(collected::<T>),
                hint,
                &raw mut value,
            )
        };
        if status == Status::napi_ok {
            tell_size(env, size);
        } else {
            // SAFETY: nobody has taken it.
            drop(unsafe { Box::from_raw(content) });
        }
        check_status!(status, "there is no room for an external value")?;
        Ok(value)
    }
}

/// JavaScript has let go of an external value.
unsafe extern "C" fn collected<T>(env: napi_env, content: *mut c_void, _hint: *mut c_void) {
    // SAFETY: it is what was given to that value, which is no more.
    let content = unsafe { Box::from_raw(content.cast::<Content<T>>()) };
    tell_size(env, -content.size);
}

/// V8 would get back so many bytes more by collecting.
fn tell_size(env: napi_env, change: i64) {
    let mut all = 0;
    // SAFETY: the environment is alive. It is only a hint: there is nothing to do about a failure.
    let _ = unsafe { napi_adjust_external_memory(env, change, &raw mut all) };
}

impl<T> FromNapiValue for Held<T> {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        let mut content = ptr::null_mut();
        // SAFETY: as the caller says, both are alive.
        let status = unsafe { napi_get_value_external(env, value, &raw mut content) };
        check_status!(status, "not an external value")?;
        // SAFETY: the library hands over external values that were made here, which say first what they are of. The reference
        // ends here, before anything else can run.
        unsafe {
            if !content.is_null() && *content.cast::<TypeId>() == TypeId::of::<T>() {
                let inside = Rc::clone(&(*content.cast::<Content<T>>()).inside);
                return Ok(Self { inside, size: 0 });
            }
        }
        Err(napi::Error::new(
            napi::Status::InvalidArg,
            "an external value of something else",
        ))
    }
}

/// A string. That of napi-rs is measured before it is copied, which takes as long: here there is room for those of mostly
/// ASCII, and the rest find out that there was not. There is no more, because a text keeps its room while it is on its way.
pub struct Text(pub String);

/// The name of a key, by its id.
pub struct Name(pub String);

/// A string, as JSON text.
pub struct Quoted(pub String);

/// A string, if there is room for it, with `before` before it.
unsafe fn read(env: napi_env, value: napi_value, before: &str) -> Option<String> {
    let (mut length, mut written) = (0, 0);
    // SAFETY: as the caller says. Without a buffer a string is only measured, in units of UTF-16.
    let status =
        unsafe { napi_get_value_string_latin1(env, value, ptr::null_mut(), 0, &raw mut length) };
    if status != Status::napi_ok {
        return None;
    }
    let room = length + length / 8 + 8;
    let mut bytes = Vec::with_capacity(before.len() + room);
    bytes.extend_from_slice(before.as_bytes());
    let buffer = bytes.spare_capacity_mut().as_mut_ptr().cast();
    // SAFETY: there is so much room, for what is written and a zero.
    let status = unsafe { napi_get_value_string_utf8(env, value, buffer, room, &raw mut written) };
    // A character has 4 bytes at most: where there was still room for one, none was left out.
    if status != Status::napi_ok || written + 4 >= room {
        return None;
    }
    // SAFETY: so much was written.
    unsafe { bytes.set_len(before.len() + written) };
    String::from_utf8(bytes).ok()
}

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        // SAFETY: as the caller says, both are alive.
        unsafe {
            read(env, value, "")
                .map_or_else(|| String::from_napi_value(env, value), Ok)
                .map(Self)
        }
    }
}

impl ToNapiValue for Text {
    unsafe fn to_napi_value(env: napi_env, text: Self) -> napi::Result<napi_value> {
        let Self(text) = text;
        if !text.is_ascii() {
            // SAFETY: as the caller says, it is alive.
            return unsafe { String::to_napi_value(env, text) };
        }
        let mut value = ptr::null_mut();
        let (letters, length) = (text.as_ptr().cast(), text.len().cast_signed());
        // SAFETY: as above; the letters are there while they are copied.
        let status = unsafe { napi_create_string_latin1(env, letters, length, &raw mut value) };
        check_status!(status, "there is no room for a string of {length} letters")?;
        Ok(value)
    }
}

impl FromNapiValue for Name {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        let named = |id: String| [KEY_PREFIX, &id].concat();
        // SAFETY: as the caller says, both are alive.
        unsafe {
            read(env, value, KEY_PREFIX)
                .map_or_else(|| String::from_napi_value(env, value).map(named), Ok)
                .map(Self)
        }
    }
}

impl FromNapiValue for Quoted {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        // SAFETY: as the caller says, both are alive.
        let read = unsafe { read(env, value, "\"") };
        match read {
            Some(mut text) if fields::is_verbatim(&text[1..]) => {
                text.push('"');
                Ok(Self(text))
            }
            Some(text) => Ok(Self(quoted(&text[1..]))),
            // SAFETY: as above.
            None => unsafe { String::from_napi_value(env, value) }.map(|text| Self(quoted(&text))),
        }
    }
}

/// As many arguments for a function of JavaScript as there are: an array of them takes 0.1 µs more for each.
pub struct Arguments<T>(pub Vec<T>);

impl<T: ToNapiValue> JsValuesTupleIntoVec for Arguments<T> {
    fn into_vec(self, env: napi_env) -> napi::Result<Vec<napi_value>> {
        // SAFETY: whoever calls a function has an environment that lives.
        let converted = |value| unsafe { T::to_napi_value(env, value) };
        self.0.into_iter().map(converted).collect()
    }
}
