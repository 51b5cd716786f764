//! Values as they cross where napi-rs has a dearer way.

use std::ops::Deref;
use std::rc::Rc;

use napi::bindgen_prelude::{
    External, FromNapiRef, FromNapiValue, JsValuesTupleIntoVec, ToNapiValue,
};
use napi::sys::{napi_env, napi_value};

/// The inside of an `External<Rc<T>>`.
///
/// An argument `&External<T>` is entered into a table of the whole process, under a lock, for as long as the call takes, and a
/// method's `&mut self` as well, after its class was compared: 0.2 µs each. An `Rc` of one's own needs no such guard.
pub struct Held<T: 'static>(Rc<T>);

impl<T> Deref for Held<T> {
    type Target = Rc<T>;

    fn deref(&self) -> &Rc<T> {
        &self.0
    }
}

impl<T> FromNapiValue for Held<T> {
    #[allow(unsafe_code)] // the trait asks for it
    unsafe fn from_napi_value(env: napi_env, value: napi_value) -> napi::Result<Self> {
        // SAFETY: as the caller says, both are alive. The reference ends here, before anything else can run; what the
        // `External` is of was checked.
        let external = unsafe { External::<Rc<T>>::from_napi_ref(env, value)? };
        Ok(Self(Rc::clone(external)))
    }
}

/// As many arguments for a function of JavaScript as there are: an array of them takes 0.1 µs more for each.
pub struct Arguments<T>(pub Vec<T>);

impl<T: ToNapiValue> JsValuesTupleIntoVec for Arguments<T> {
    #[allow(unsafe_code)] // the trait asks for it
    fn into_vec(self, env: napi_env) -> napi::Result<Vec<napi_value>> {
        // SAFETY: whoever calls a function has an environment that lives.
        let converted = |value| unsafe { T::to_napi_value(env, value) };
        self.0.into_iter().map(converted).collect()
    }
}
