//! Node-API without napi-rs, where that takes a measurable part of an operation: external values, strings, and the
//! functions that each message calls.
//!
//! napi-rs registers external values in a table of the process under a lock, measures strings before it copies them, and
//! keeps account of borrowed arguments for work that goes on elsewhere, of which there is none here: a call takes 130 ns
//! with it and 50 without. `docs/benchmarks.md` has what each is worth.
//!
//! The traits of napi-rs are unsafe: the caller of a conversion guarantees that the environment and the value are alive
//! during the call, and not after it.
#![allow(unsafe_code)]

use std::any::{Any, TypeId};
use std::ffi::{CStr, c_void};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{FromNapiValue, JsValuesTupleIntoVec, ToNapiValue};
use napi::check_status;
use napi::sys::{
    Status, napi_adjust_external_memory, napi_callback_info, napi_create_external,
    napi_create_function, napi_create_string_latin1, napi_env, napi_get_cb_info,
    napi_get_value_external, napi_get_value_string_latin1, napi_get_value_string_utf8,
    napi_set_named_property, napi_value,
};

use crate::session::KEY_PREFIX;
use crate::session::fields;
use crate::session::fields::quoted;

/// An error with its code.
pub type JsError = napi::Error<String>;

/// What a function gives to JavaScript, or throws.
pub type Result<T> = napi::Result<T, String>;

/// A handle: an external value (`napi_create_external`) that keeps an object of Rust alive until V8 collects it.
///
/// napi-rs registers each `External` in one table of the process, and each call looks it up there under a lock that all worker
/// threads share. This one needs no table: its content begins with its type, and the glue passes only handles made here.
pub struct Handle<T: 'static> {
    inside: Rc<T>,
    /// The bytes to report to V8 when JavaScript gets the handle.
    size: i64,
}

/// The content that an external value points to.
#[repr(C)]
struct Content<T> {
    of: TypeId,
    inside: Rc<T>,
    /// The bytes that were reported to V8.
    size: i64,
}

impl<T> Handle<T> {
    /// A handle for JavaScript. `size`: the bytes that its collection would free, which V8 takes into account.
    pub fn new(inside: Rc<T>, size: usize) -> Self {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Self { inside, size }
    }
}

impl<T> Deref for Handle<T> {
    type Target = Rc<T>;

    fn deref(&self) -> &Rc<T> {
        &self.inside
    }
}

impl<T> ToNapiValue for Handle<T> {
    unsafe fn to_napi_value(env: napi_env, handle: Self) -> napi::Result<napi_value> {
        let Self { inside, size } = handle;
        let content = Box::into_raw(Box::new(Content {
            of: TypeId::of::<T>(),
            inside,
            size,
        }));
        let mut value = ptr::null_mut();
        let hint = ptr::null_mut();
        // SAFETY: the caller guarantees that `env` is alive. From here on only the external value owns the content.
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
            report_size(env, size);
        } else {
            // SAFETY: Node-API has made no external value, so the content has no other owner.
            drop(unsafe { Box::from_raw(content) });
        }
        check_status!(status, "Node-API could not make an external value")?;
        Ok(value)
    }
}

/// Frees the content of an external value that V8 has collected.
unsafe extern "C" fn collected<T>(env: napi_env, content: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `to_napi_value` leaked the content for that value alone, and V8 calls this once.
    let content = unsafe { Box::from_raw(content.cast::<Content<T>>()) };
    report_size(env, -content.size);
}

/// Tells V8 how many bytes more it can free by a collection.
fn report_size(env: napi_env, change: i64) {
    let mut all = 0;
    // SAFETY: `env` is alive. The size is a hint for V8, so a failure does no harm.
    let _ = unsafe { napi_adjust_external_memory(env, change, &raw mut all) };
}

impl<T> FromNapiValue for Handle<T> {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        let mut content = ptr::null_mut();
        // SAFETY: the caller guarantees that both are alive.
        let status = unsafe { napi_get_value_external(env, value, &raw mut content) };
        check_status!(status, "not an external value")?;
        // SAFETY: the glue passes only external values that were made here, so the content begins with a `TypeId`. The
        // reference to it ends before anything else can run.
        unsafe {
            if !content.is_null() && *content.cast::<TypeId>() == TypeId::of::<T>() {
                let inside = Rc::clone(&(*content.cast::<Content<T>>()).inside);
                return Ok(Self { inside, size: 0 });
            }
        }
        Err(napi::Error::new(
            napi::Status::InvalidArg,
            "an external value of another type",
        ))
    }
}

/// A string. napi-rs measures a string as UTF-8 before it copies it, which takes as long as the copy. This type copies it
/// into a buffer that suffices for mostly ASCII text, and falls back to napi-rs if the text does not fit. The buffer is not
/// larger, because the text keeps its capacity while its operation is queued.
pub struct Text(pub String);

/// The name of a key; in JavaScript its id.
pub struct Name(pub String);

/// The JSON text of a string.
pub struct Quoted(pub String);

/// `before` and a string of JavaScript; absent if the value is no string, or does not fit into the buffer.
///
/// # Safety
/// `env` and `value` must be alive.
unsafe fn read(env: napi_env, value: napi_value, before: &str) -> Option<String> {
    let (mut length, mut written) = (0, 0);
    // SAFETY: the caller guarantees that both are alive. Without a buffer Node-API only measures the string, in UTF-16 units.
    let status =
        unsafe { napi_get_value_string_latin1(env, value, ptr::null_mut(), 0, &raw mut length) };
    if status != Status::napi_ok {
        return None;
    }
    let capacity = length + length / 8 + 8;
    let mut bytes = Vec::with_capacity(before.len() + capacity);
    bytes.extend_from_slice(before.as_bytes());
    let buffer = bytes.spare_capacity_mut().as_mut_ptr().cast();
    // SAFETY: the buffer has `capacity` bytes, for the text and the final zero.
    let status =
        unsafe { napi_get_value_string_utf8(env, value, buffer, capacity, &raw mut written) };
    // A character has at most 4 bytes: if one more would have fitted, the text is complete.
    if status != Status::napi_ok || written + 4 >= capacity {
        return None;
    }
    // SAFETY: Node-API has written that many bytes.
    unsafe { bytes.set_len(before.len() + written) };
    String::from_utf8(bytes).ok()
}

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        // SAFETY: the caller guarantees that both are alive.
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
            // SAFETY: the caller guarantees that `env` is alive.
            return unsafe { String::to_napi_value(env, text) };
        }
        let mut value = ptr::null_mut();
        let (ascii, length) = (text.as_ptr().cast(), text.len().cast_signed());
        // SAFETY: as above; `text` lives until Node-API has copied it.
        let status = unsafe { napi_create_string_latin1(env, ascii, length, &raw mut value) };
        check_status!(status, "Node-API could not make a string of {length} bytes")?;
        Ok(value)
    }
}

impl FromNapiValue for Name {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        let named = |id: String| [KEY_PREFIX, &id].concat();
        // SAFETY: the caller guarantees that both are alive.
        unsafe {
            read(env, value, KEY_PREFIX)
                .map_or_else(|| String::from_napi_value(env, value).map(named), Ok)
                .map(Self)
        }
    }
}

impl FromNapiValue for Quoted {
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        // SAFETY: the caller guarantees that both are alive.
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

/// The arguments of a JavaScript function, in any number. An array as the one argument would cost 0.1 µs more per element.
pub struct Arguments<T>(pub Vec<T>);

impl<T: ToNapiValue> JsValuesTupleIntoVec for Arguments<T> {
    fn into_vec(self, env: napi_env) -> napi::Result<Vec<napi_value>> {
        // SAFETY: napi-rs calls this with the environment of the function that it is about to call.
        let converted = |value| unsafe { T::to_napi_value(env, value) };
        self.0.into_iter().map(converted).collect()
    }
}

/// Replaces functions that napi-rs has exported by direct ones: `name = |arguments| result`. The bodies run in Rust that is
/// safe; what is unsafe is in the functions that the macro calls.
macro_rules! direct {
    ($env:expr, $exports:expr; $($name:literal = |$($argument:ident: $type:ty),+| $result:expr;)+) => {
        $({
            unsafe extern "C" fn called(env: napi::sys::napi_env, info: napi::sys::napi_callback_info) -> napi::sys::napi_value {
                $crate::binding::node_api::answered(env, || {
                    let [$($argument),+] = $crate::binding::node_api::arguments(env, info);
                    $(let $argument = $crate::binding::node_api::argument::<$type>(env, $argument)?;)+
                    $result
                })
            }
            $crate::binding::node_api::replace($env, $exports, $name, called)?;
        })+
    };
}
pub(super) use direct;

type Callback = unsafe extern "C" fn(napi_env, napi_callback_info) -> napi_value;

/// Replaces the function `name` of `exports`.
pub fn replace(
    env: napi_env,
    exports: napi_value,
    name: &CStr,
    callback: Callback,
) -> napi::Result<()> {
    let (mut function, nothing) = (ptr::null_mut(), ptr::null_mut());
    let (letters, length) = (name.as_ptr(), name.count_bytes().cast_signed());
    // SAFETY: the environment and the exports are alive, the name is longer.
    let status = unsafe {
        napi_create_function(
            env,
            letters,
            length,
            Some(callback),
            nothing,
            &raw mut function,
        )
    };
    check_status!(status, "{name:?} can't be made")?;
    // SAFETY: as above.
    let status = unsafe { napi_set_named_property(env, exports, letters, function) };
    check_status!(status, "{name:?} can't be placed")
}

/// The first arguments of the function that is being called; `undefined` for those that are not there.
pub fn arguments<const N: usize>(env: napi_env, info: napi_callback_info) -> [napi_value; N] {
    let (mut values, mut count) = ([ptr::null_mut(); N], N);
    let (this, data) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: Node-API has handed both over for this call. There is room for as many as it is told.
    let status =
        unsafe { napi_get_cb_info(env, info, &raw mut count, values.as_mut_ptr(), this, data) };
    debug_assert_eq!(status, Status::napi_ok);
    values
}

/// One argument, converted.
pub fn argument<T: FromNapiValue>(env: napi_env, value: napi_value) -> Result<T> {
    // SAFETY: it is an argument of the function that is being called.
    unsafe { T::from_napi_value(env, value) }.map_err(refused)
}

/// An error of a conversion.
fn refused(error: napi::Error) -> JsError {
    JsError::new(error.status.to_string(), error.reason.clone())
}

/// What `function` gives, or throws: also where it panics, which must not be the end of the process.
pub fn answered<T: ToNapiValue>(env: napi_env, function: impl FnOnce() -> Result<T>) -> napi_value {
    let convert = |value| {
        // SAFETY: the environment is that of the function that is being called.
        unsafe { T::to_napi_value(env, value) }.map_err(refused)
    };
    let given = catch_unwind(AssertUnwindSafe(|| function().and_then(convert)))
        .unwrap_or_else(|panic| Err(JsError::new("GenericFailure".to_owned(), said(&*panic))));
    given.unwrap_or_else(|error| {
        // SAFETY: as above; JavaScript goes on as soon as this returns.
        unsafe { napi::JsError::from(error).throw_into(env) };
        ptr::null_mut()
    })
}

/// What a panic has said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}
