//! Watches sockets with the event loop of Node.js (libuv), which calls JavaScript when a socket can be read or
//! written.
//!
//! The code is unsafe, because the compiler cannot check the rules of libuv and Node-API. All of it runs on the thread
//! of the JavaScript environment. A [`Poll`] is the only owner of its handle, and libuv frees the memory of the handle
//! when it has closed it.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::LazyLock;

use libloading::Library;
use napi::bindgen_prelude::{Function, FunctionRef};
use napi::{Env, JsValue as _, sys};

use crate::error::{Error, Kind, Result};
use crate::store::redis::{Ready, Socket, Watch};

/// `UV_POLL` of `uv_handle_type`.
const POLL: c_int = 8;
/// `UV_READABLE` of `uv_poll_event`.
const READABLE: c_int = 1;
/// `UV_WRITABLE`.
const WRITABLE: c_int = 2;

type Loop = *mut sys::uv_loop_s;
type Handle = *mut c_void;
type OnPoll = unsafe extern "C" fn(Handle, c_int, c_int);
type OnClose = unsafe extern "C" fn(Handle);

/// The functions of libuv, from the program that has loaded the addon.
struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    set_data: unsafe extern "C" fn(Handle, *mut c_void),
    get_data: unsafe extern "C" fn(Handle) -> *mut c_void,
    unref: unsafe extern "C" fn(Handle),
    poll_init: unsafe extern "C" fn(Loop, Handle, Socket) -> c_int,
    poll_start: unsafe extern "C" fn(Handle, c_int, OnPoll) -> c_int,
    close: unsafe extern "C" fn(Handle, OnClose),
}

static UV: LazyLock<std::result::Result<Uv, String>> =
    LazyLock::new(|| Uv::new().map_err(|why| why.to_string()));

impl Uv {
    fn new() -> std::result::Result<Self, libloading::Error> {
        #[cfg(unix)]
        let program: Library = libloading::os::unix::Library::this().into();
        #[cfg(windows)]
        let program: Library = libloading::os::windows::Library::this()?.into();
        // SAFETY: the types are those of uv.h, which are fixed for libuv 1. The program outlives the addon.
        unsafe {
            Ok(Self {
                handle_size: *program.get(b"uv_handle_size\0")?,
                set_data: *program.get(b"uv_handle_set_data\0")?,
                get_data: *program.get(b"uv_handle_get_data\0")?,
                unref: *program.get(b"uv_unref\0")?,
                poll_init: *program.get(b"uv_poll_init_socket\0")?,
                poll_start: *program.get(b"uv_poll_start\0")?,
                close: *program.get(b"uv_close\0")?,
            })
        }
    }
}

/// The event loop of one JavaScript environment, with the function that it calls when a watched socket is ready.
pub struct EventLoop {
    callee: Rc<Callee>,
}

struct Callee {
    uv: &'static Uv,
    env: sys::napi_env,
    function: FunctionRef<(), ()>,
}

impl EventLoop {
    /// Watches call `function`, without arguments, on the environment's thread.
    ///
    /// # Errors
    /// `Unavailable` when the program has no libuv, or Node-API gives no reference to the function.
    pub fn new(env: &Env, function: &Function<(), ()>) -> Result<Self> {
        let failed = |why: &str| {
            Error::new(
                Kind::Unavailable,
                format!("RedisStore needs the event loop of Node.js 20 or later: {why}"),
            )
        };
        let callee = Callee {
            uv: UV.as_ref().map_err(|why| failed(why))?,
            env: env.raw(),
            function: function.create_ref().map_err(|why| failed(&why.reason))?,
        };
        Ok(Self {
            callee: Rc::new(callee),
        })
    }

    /// Watches a socket until the result is dropped. It does not keep the process alive.
    ///
    /// # Errors
    /// `Unavailable` when the environment is ending, or the operating system cannot watch the socket.
    pub fn watch(&self, socket: Socket) -> Result<Box<dyn Watch>> {
        let uv = self.callee.uv;
        let failed = || Error::new(Kind::Unavailable, "the event loop cannot watch the socket");
        let mut uv_loop = ptr::null_mut();
        // SAFETY: `env` lives; see `Callee::call`.
        unsafe { sys::napi_get_uv_event_loop(self.callee.env, &raw mut uv_loop) };
        if uv_loop.is_null() {
            return Err(failed());
        }
        // SAFETY: the function takes a number and gives one.
        let size = unsafe { (uv.handle_size)(POLL) };
        let mut room = vec![0_u64; size.div_ceil(size_of::<u64>())].into_boxed_slice();
        let handle: Handle = room.as_mut_ptr().cast();
        // SAFETY: the handle has the size that libuv wants, and its memory does not move until libuv has closed it.
        // Where libuv cannot initialize it, libuv keeps no reference to it.
        unsafe {
            if (uv.poll_init)(uv_loop, handle, socket) != 0 {
                return Err(failed());
            }
            let watched = Box::new(Watched {
                _room: room,
                ready: Cell::default(),
                callee: Rc::clone(&self.callee),
            });
            let watched = NonNull::from(Box::leak(watched));
            (uv.set_data)(handle, watched.as_ptr().cast());
            (uv.unref)(handle);
            let poll = Poll { handle, watched };
            poll.want_write(false);
            Ok(Box::new(poll))
        }
    }
}

impl Callee {
    /// Calls the function as the event loop calls one: `process.nextTick` callbacks and microtasks run after it.
    fn call(&self) {
        let env = Env::from_raw(self.env);
        let (mut scope, mut global, mut result, mut thrown) = Default::default();
        // SAFETY: `env` lives as long as a handle is watched: the engine that owns the handles closes them at the
        // latest when the environment ends. Where the environment cannot run JavaScript any more, the calls fail.
        unsafe {
            if sys::napi_open_handle_scope(self.env, &raw mut scope) != sys::Status::napi_ok {
                return;
            }
            if let Ok(function) = self.function.borrow_back(&env)
                && sys::napi_get_global(self.env, &raw mut global) == sys::Status::napi_ok
                && sys::napi_make_callback(
                    self.env,
                    ptr::null_mut(),
                    global,
                    function.raw(),
                    0,
                    ptr::null(),
                    &raw mut result,
                ) == sys::Status::napi_pending_exception
                && sys::napi_get_and_clear_last_exception(self.env, &raw mut thrown)
                    == sys::Status::napi_ok
            {
                sys::napi_fatal_exception(self.env, thrown);
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
    }
}

/// What the data pointer of a handle points to.
struct Watched {
    /// The `uv_poll_t`.
    _room: Box<[u64]>,
    ready: Cell<Ready>,
    callee: Rc<Callee>,
}

/// A watched socket.
struct Poll {
    handle: Handle,
    watched: NonNull<Watched>,
}

impl Poll {
    fn watched(&self) -> &Watched {
        // SAFETY: libuv frees it when the handle is closed, and only the drop of this value closes the handle.
        unsafe { self.watched.as_ref() }
    }
}

impl Watch for Poll {
    fn ready(&self) -> Ready {
        self.watched().ready.take()
    }

    fn want_write(&self, wants: bool) {
        let events = if wants { READABLE | WRITABLE } else { READABLE };
        let start = self.watched().callee.uv.poll_start;
        // SAFETY: the handle is initialized and not closed.
        if unsafe { start(self.handle, events, on_poll) } != 0 {
            // The next read or write of the socket gives the error.
            self.watched().ready.set(Ready {
                read: true,
                write: true,
            });
        }
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let close = self.watched().callee.uv.close;
        // SAFETY: the handle is initialized, and only this closes it.
        unsafe { close(self.handle, on_close) };
    }
}

unsafe extern "C" fn on_poll(handle: Handle, status: c_int, events: c_int) {
    let Ok(uv) = &*UV else { return };
    // SAFETY: libuv calls this with a handle that is not closed, so its data exists. The reference to the data ends
    // before JavaScript runs, which may close the handle.
    let callee = unsafe {
        let watched = &*(uv.get_data)(handle).cast::<Watched>();
        let failed = status < 0;
        let ready = watched.ready.get();
        watched.ready.set(Ready {
            read: ready.read || failed || events & READABLE != 0,
            write: ready.write || failed || events & WRITABLE != 0,
        });
        Rc::clone(&watched.callee)
    };
    callee.call();
}

unsafe extern "C" fn on_close(handle: Handle) {
    let Ok(uv) = &*UV else { return };
    // SAFETY: `watch` leaked the data, and libuv does not use the handle or its data any more.
    drop(unsafe { Box::from_raw((uv.get_data)(handle).cast::<Watched>()) });
}
