//! The functions that messages call, without what napi-rs does around each: it keeps account of borrowed arguments for
//! work that goes on elsewhere, of which there is none here. That takes 80 ns of a call's 130.
//!
//! They are declared where they are, as all others; here they take the place of what napi-rs has made of them.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::bindgen_prelude::{FromNapiValue, Object, ToNapiValue};
use napi::sys::{
    Status, napi_callback_info, napi_create_function, napi_env, napi_get_cb_info,
    napi_set_named_property, napi_value,
};
use napi::{Env, JsValue as _, check_status};
use napi_derive::napi;

use super::conversions::{Name, Quoted, Text};
use super::engine::{self, EngineHandle};
use super::{JsError, RecordHandle, Result, record};

/// Puts functions in their places: `name = |arguments| result`.
macro_rules! direct {
    ($env:expr, $exports:expr; $($name:literal = |$($argument:ident: $type:ty),+| $result:expr;)+) => {
        $({
            unsafe extern "C" fn called(env: napi_env, info: napi_callback_info) -> napi_value {
                answered(env, || {
                    let [$($argument),+] = arguments(env, info);
                    $(let $argument = argument::<$type>(env, $argument)?;)+
                    $result
                })
            }
            place($env, $exports, $name, called)?;
        })+
    };
}

/// Runs when an environment loads the addon.
#[napi(module_exports)]
pub fn exports(exports: Object, env: Env) -> napi::Result<()> {
    direct! { env.raw(), exports.raw();
        c"engineLoad" = |engine: EngineHandle, op: u32, id: Name, live: Option<RecordHandle>, lenient: Option<bool>| {
            engine::engine_load(engine, op, id, live, lenient)
        };
        c"engineSave" = |
            engine: EngineHandle, op: u32, record: RecordHandle, set: Option<Text>, removed: Option<Text>, mode: u32,
            ttl: Option<f64>, if_unchanged: Option<bool>
        | {
            engine::engine_save(engine, op, record, set, removed, mode, ttl, if_unchanged)
        };
        c"engineRemoveKey" = |
            engine: EngineHandle, op: u32, record: RecordHandle, id: Name, set: Option<Text>, removed: Option<Text>,
            ttl: Option<f64>
        | {
            engine::engine_remove_key(engine, op, record, id, set, removed, ttl)
        };
        c"engineGet" = |engine: EngineHandle, op: u32, name: Text| engine::engine_get(engine, op, name);
        c"engineSet" = |engine: EngineHandle, op: u32, name: Text, text: Text, ttl: Option<f64>| {
            engine::engine_set(engine, op, name, text, ttl)
        };
        c"engineSetString" = |engine: EngineHandle, op: u32, name: Text, value: Quoted, ttl: Option<f64>| {
            engine::engine_set_string(engine, op, name, value, ttl)
        };
        c"placeholderRecord" = |plan: u32, failed: bool, id: Name| record::placeholder_record(plan, failed, id);
        c"recordIsClean" = |record: RecordHandle| Ok(record::record_is_clean(record));
        c"engineIsCurrent" = |engine: EngineHandle, record: RecordHandle| {
            Ok(engine::engine_is_current(engine, record))
        };
        c"recordIsRemoved" = |record: RecordHandle| Ok(record::record_is_removed(record));
    }
    Ok(())
}

type Callback = unsafe extern "C" fn(napi_env, napi_callback_info) -> napi_value;

fn place(env: napi_env, exports: napi_value, name: &CStr, callback: Callback) -> napi::Result<()> {
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
fn arguments<const N: usize>(env: napi_env, info: napi_callback_info) -> [napi_value; N] {
    let (mut values, mut count) = ([ptr::null_mut(); N], N);
    let (this, data) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: Node-API has handed both over for this call. There is room for as many as it is told.
    let status =
        unsafe { napi_get_cb_info(env, info, &raw mut count, values.as_mut_ptr(), this, data) };
    debug_assert_eq!(status, Status::napi_ok);
    values
}

fn argument<T: FromNapiValue>(env: napi_env, value: napi_value) -> Result<T> {
    // SAFETY: it is an argument of the function that is being called.
    unsafe { T::from_napi_value(env, value) }.map_err(refused)
}

/// An error of a conversion.
fn refused(error: napi::Error) -> JsError {
    JsError::new(error.status.to_string(), error.reason.clone())
}

/// What `function` gives, or throws: also where it panics, which must not be the end of the process.
fn answered<T: ToNapiValue>(env: napi_env, function: impl FnOnce() -> Result<T>) -> napi_value {
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
