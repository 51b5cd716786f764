/// <reference types="node" />
import { EventEmitter } from 'node:events';

/**
 * Session middleware for drachtio applications: gives each request of a SIP dialog the session of its call.
 *
 * ```ts
 * interface CallData { user?: string }
 * app.use(session<CallData>({ store: new session.RedisStore({ host: 'localhost' }), app }));
 * ```
 *
 * @throws {session.SessionError} `ERR_SESSION_OPTION`: an option is unknown or has an invalid value
 */
declare function session<T extends object = session.Data>(options?: session.Options): session.Middleware<T>;

declare namespace session {
  /** Data of a session without declared properties. */
  type Data = Record<string, any>;

  /** Node style: `err` is null if the operation succeeded. */
  type Callback<T = void> = (err: Error | null, value?: T) => void;

  /** A class whose instances survive a save and a load: a load calls `new Class(plainData)`, finding it by `Class.name`. */
  type DataClass = new (data: any) => object;

  interface Options {
    /** Where sessions are stored. Default: a `MemoryStore`. */
    store?: Store | JavaScriptStore;
    /**
     * The application. Classic drachtio needs it for `app.siprequest(uri, {session})`. An instance of drachtio-srf that is
     * not given here is found at its first request; `drachtio-session/srf` has types for it.
     */
    app?: object;
    /** Classes to register, as `addClass` does. */
    resolvers?: DataClass[];
    /** How long a message waits for the store at most, ms. Default 2000; with `RedisStore` its `commandTimeout`. */
    timeout?: number;
    /**
     * What becomes of a message whose session could not be loaded, or that begins a dialog while the breaker is open.
     * `'continue'` (default): the handlers get it, with `req.session.mks.degraded`. `'reject'`: a request outside any dialog
     * is answered 503 with Retry-After. A function decides for these and for requests inside a dialog. The handlers always
     * get BYE, CANCEL, ACK and PRACK.
     */
    onStoreFailure?: 'continue' | 'reject' | ((req: any, err: SessionError) => 'continue' | 'reject');
  }

  /** `(req, res, next)`, for `app.use`. `req` is any request of classic drachtio or drachtio-srf. */
  type Middleware<T extends object = Data> = (req: any, res: any, next: any) => void;

  /** What the middleware puts on a request: `req as Req & session.SessionFields<CallData>`. */
  interface SessionFields<T extends object = Data> {
    /** The data. Assigning an object replaces the content. */
    get session(): SessionData<T>;
    set session(content: T);
    /** The session behind the data. */
    mks: Session<T>;
    sessionStore: Store | JavaScriptStore;
    sessionID: string;
    resolvers: DataClass[];
  }

  /** The data of a session: its properties and, not enumerable, these. */
  type SessionData<T extends object = Data> = T & {
    readonly mks: Session<T>;
    /**
     * Saves now. Changes that a handler makes are saved without it, before the final response is sent.
     * Errors: `ERR_SESSION_GONE`, `ERR_SESSION_TIMEOUT`, `ERR_SESSION_STORE_UNAVAILABLE`, `ERR_SESSION_DATA`;
     * with `ifUnchanged` also `ERR_SESSION_CONFLICT`, with `newer` on the error.
     */
    save(options: SaveOptions, callback: Callback): void;
    save(callback: Callback): void;
    save(options?: SaveOptions): Promise<void>;
    /**
     * Changes what is stored by `change(data)`, atomically. The function gets a copy of the newest data, may be called more
     * than once, and must be synchronous. The result is what it returned.
     * Errors: `ERR_SESSION_GONE`; `ERR_SESSION_CONFLICT`: other writers kept changing the session until the deadline;
     * `ERR_SESSION_TIMEOUT`, `ERR_SESSION_STORE_UNAVAILABLE`: the change may have been written, or may be written once, later.
     */
    update<R>(change: (data: T) => R, callback: Callback<R>): void;
    update<R>(change: (data: T) => R): Promise<R>;
  };

  interface SaveOptions {
    /** Fail with `ERR_SESSION_CONFLICT` if another writer has saved the session since this process last loaded or saved it. */
    ifUnchanged?: boolean;
  }

  /**
   * A dialog of drachtio-srf as a message names it, such as one with `Replaces` (RFC 3891) or `Join` (RFC 3911). The direction
   * of the message does not matter: either tag may be the local one. No part is empty.
   */
  interface DialogTags {
    callId: string;
    fromTag: string;
    toTag: string;
  }

  /** The multi-key session (mks): one data object, found by any of its keys (for a dialog: its Call-ID). */
  class Session<T extends object = Data> {
    /** @throws {SessionError} without a store */
    constructor(options: { store: Store | JavaScriptStore });
    /** `mks:session:` and a uuid. */
    readonly uuid: string;
    readonly store: Store | JavaScriptStore;
    /** The names of the keys: `mks:` and the id. */
    readonly keys: string[];
    readonly keyCount: number;
    /** Each key's name with its resource, or null. */
    readonly keyData: Record<string, unknown>;
    /** Whether it was removed or has expired; a save fails with `ERR_SESSION_GONE`. */
    readonly removed: boolean;
    /**
     * Whether the store could not be asked for it, so that it is as this process knows it, or a placeholder; or it was created
     * while the breaker was open.
     */
    readonly degraded: boolean;
    /** The data. Assigning an object replaces the content. */
    get session(): SessionData<T>;
    set session(content: T);
    /** Whether a save would write anything. */
    isDirty(): boolean;
    /** Whether it has a key, as far as this process knows. */
    has(id: string): boolean;
    /** Adds a key, with a resource. The next save stores both. */
    set(id: string, resource?: object | null): this;
    set(resource: { sessionID: string }): this;
    /** The resource of a key; an instance of its class, if that is registered. */
    get(id: string): any;
    /** Removes a key; removing the last key removes the session. */
    del(key: string | { sessionID: string }, callback: Callback): void;
    del(key: string | { sessionID: string }): Promise<void>;
    /** As on the data. */
    save(options: SaveOptions, callback: Callback): void;
    save(callback: Callback): void;
    save(options?: SaveOptions): Promise<void>;
    /** As on the data. */
    update<R>(change: (data: T) => R, callback: Callback<R>): void;
    update<R>(change: (data: T) => R): Promise<R>;
    /** Removes the session with all of its keys. */
    destroy(callback: Callback): void;
    destroy(): Promise<void>;
    /** Saves what has changed. Later requests load the session anew. */
    close(callback: Callback): void;
    close(): Promise<void>;
    /** Gives any object the properties `mks` and `session`. */
    attachTo(object: object): this;
    /**
     * Moves a Dialog of drachtio-srf, with its key, to this session. The Dialog and its requests have this session at once; the
     * store has it when the promise resolves. The data does not move. The Dialog's old session ends if that was its last key.
     * `dialog.session = other.session` is the short form.
     * Errors: `ERR_SESSION_GONE`: the Dialog or this session has ended; `ERR_SESSION_ARGUMENT`: no Dialog with a session;
     * those of `save`.
     */
    adopt(dialog: object, callback: Callback): void;
    adopt(dialog: object): Promise<void>;

    /**
     * Finds a session by a key, or that of a dialog by its Call-ID and tags; null if there is none.
     * Errors: `ERR_SESSION_ARGUMENT`: no id, or a part of the dialog is missing; `ERR_SESSION_CORRUPT`, `ERR_SESSION_TIMEOUT`,
     * `ERR_SESSION_STORE_UNAVAILABLE`.
     *
     * @throws {SessionError} `ERR_SESSION_ARGUMENT`: without a store
     */
    static loadFromStorage<T extends object = Data>(
      options: { store: Store | JavaScriptStore; resolvers?: DataClass[] },
      id: string | DialogTags,
      callback: Callback<Session<T> | null>
    ): void;
    static loadFromStorage<T extends object = Data>(
      options: { store: Store | JavaScriptStore; resolvers?: DataClass[] },
      id: string | DialogTags
    ): Promise<Session<T> | null>;
    /** The registered classes; applications may push to it. */
    static resolvers: DataClass[];
    static addResolvers(classes: DataClass[]): void;
    /** The class of the data object. */
    static SessionProto: new (mks: Session) => SessionData;
  }

  /** An event of a target within a session, which the application emits. */
  class Event<Target = any, T extends object = Data> {
    constructor(given: { target: Target; mks: Session<T>; [more: string]: any });
    constructor(target: Target, mks: Session<T>, reason?: any);
    target: Target;
    mks: Session<T>;
    reason?: any;
    get session(): SessionData<T>;
    set session(content: T);
    /** Calls `app.emit(name, this)`, then the callback; gives what `app.emit` returned. */
    emit(app: { emit(name: string, ...args: any[]): any }, name: string, callback?: () => void): any;
    [more: string]: any;
  }

  /** A store of the shape of connect's and express's: with callbacks or, without the last parameter, promises. */
  interface JavaScriptStore {
    get(sid: string, callback: (err?: any, value?: any) => void): unknown;
    set(sid: string, value: any, callback?: (err?: any) => void): unknown;
    destroy(sid: string, callback?: (err?: any) => void): unknown;
    on?(event: string, listener: (...args: any[]) => void): unknown;
  }

  /** The base class of stores: subclasses add `get`, `set` and `destroy`, the middleware adds `generate`. */
  class Store extends EventEmitter {
    /** Gives an object that has a session, such as a request, a new one in its place. */
    regenerate(holder: object, callback: Callback): void;
    regenerate(holder: object): Promise<void>;
    /** The session that has a key; null if there is none. */
    load<T extends object = Data>(sid: string, callback: Callback<Session<T> | null>): void;
    load<T extends object = Data>(sid: string): Promise<Session<T> | null>;
    /** Gives a request a new session, which is not stored yet. */
    generate(req: object): void;
    get(sid: string, callback: (err: any, value?: any) => void): any;
    set(sid: string, value: any, callback?: (err: any) => void): any;
    destroy(sid: string, callback?: (err: any) => void): any;
  }

  /** What the native stores have in common: values and sessions by name. Methods take a callback or return a promise. */
  class NativeStore extends Store {
    /**
     * The value stored under a name, or null. For a session (by `mks:<id>` of any of its keys):
     * `{keys: {'mks:<id>': resource | null}, session: data}`.
     */
    get(sid: string, callback: Callback<any>): void;
    get(sid: string): Promise<any>;
    /** Stores anything that JSON can hold, and instances of registered classes. */
    set(sid: string, value: any, callback: Callback): void;
    set(sid: string, value: any): Promise<void>;
    /** Removes a value, or a session with all of its keys. */
    destroy(sid: string, callback: Callback): void;
    destroy(sid: string): Promise<void>;
    /** Renews the TTL. */
    touch(sid: string, value: any, callback: Callback): void;
    touch(sid: string, callback: Callback): void;
    touch(sid: string, value?: any): Promise<void>;
    /** Everything that is stored, as `get` gives it. */
    all(callback: Callback<any[]>): void;
    all(): Promise<any[]>;
    /** The names of everything that is stored; a session once, by its primary key. */
    ids(callback: Callback<string[]>): void;
    ids(): Promise<string[]>;
    length(callback: Callback<number>): void;
    length(): Promise<number>;
    /** Removes everything. */
    clear(callback: Callback): void;
    clear(): Promise<void>;
    /**
     * Completes what is under way, including pending writes, within `timeout` (ms, default 5000), and closes the store. Each
     * write that is given up is an `error` event with `ERR_SESSION_GIVEN_UP`. Later calls fail with
     * `ERR_SESSION_STORE_CLOSED`.
     */
    close(options: CloseOptions, callback: Callback): void;
    close(callback: Callback): void;
    close(options?: CloseOptions): Promise<void>;
    /** The statistics of the store. */
    stats(): StoreStats;
  }

  /** Statistics of one store in this process, counted since it was created. */
  interface StoreStats {
    /**
     * How long the store took for operations, by their kind. Operations that complete at once are not counted: those of a
     * `MemoryStore`, hits of the near cache, saves without changes.
     */
    latencies: Partial<Record<OperationKind, Latencies>>;
    /** How often the store's reply was an error, by its code; without deadlines that passed, and what the breaker refused. */
    failures: Partial<Record<ErrorCode, number>>;
    /** The near cache; all 0 if there is none. */
    cache: CacheStats;
    /** Operations in flight: sent to the store, not answered yet. */
    inFlight: number;
    /** Sessions with pending or in-doubt writes. */
    pendingWrites: number;
    /** Bytes of these writes. */
    pendingBytes: number;
    /** Whether the breaker is open: after repeated failures no operation is sent until a PING is answered. */
    breakerOpen: boolean;
  }

  type OperationKind = 'load' | 'save' | 'remove' | 'get' | 'set' | 'destroy' | 'touch' | 'scan' | 'ping' | 'close';

  interface Latencies {
    /** How many operations. */
    count: number;
    /** ms, from when the engine submits the operation until the event loop takes its reply. */
    mean: number;
    /** The median, ms; in microseconds rounded up to the next power of two. */
    p50: number;
    /** The 99th percentile, ms; rounded as `p50`. */
    p99: number;
  }

  interface CacheStats {
    /** Whether it is in use: the option is not `false`, and all connections have CLIENT TRACKING. */
    on: boolean;
    /** Sessions in it. */
    sessions: number;
    /** Bytes of memory that they take, approximately. */
    bytes: number;
    /** Loads that it answered. */
    hits: number;
    /** Loads that it did not answer. */
    misses: number;
    /** Keys that Redis has invalidated because another client changed them. */
    invalidations: number;
  }

  interface RedisStoreStats extends StoreStats {
    /** Connections: how many are established, of how many, and how many were established since the store was created. */
    connections: { up: number; of: number; made: number };
    /** Pipelines that were sent: how many, their commands in total, the commands of the largest. */
    batches: { count: number; commands: number; largest: number };
  }

  interface CloseOptions {
    /** ms, from 0 to a day. Default 5000. */
    timeout?: number;
  }

  interface MemoryStoreOptions {
    /** The most sessions and values to keep; beyond it the least recently used is dropped. Default: no limit. */
    max?: number;
    /** TTL, seconds after the last save, or a function of the data that gives it. Default 86400 (a day). */
    ttl?: number | ((session: any) => number);
  }

  /** The embedded default: sessions in this process, gone when it ends. */
  class MemoryStore extends NativeStore {
    constructor(options?: MemoryStoreOptions);
    /** A session or value was dropped because of `max`: its name, and what `get` would have given. */
    on(event: 'evict', listener: (sid: string, value: any) => void): this;
    on(event: string, listener: (...args: any[]) => void): this;
  }

  interface RedisStoreOptions {
    /** `redis://[user:password@]host[:port][/db]` or `unix:///path`. Not together with host, port, socket. */
    url?: string;
    /** Default localhost. */
    host?: string;
    /** Default 6379. */
    port?: number;
    /** Path of a Unix socket. */
    socket?: string;
    username?: string;
    password?: string;
    /** The same as `password`. */
    pass?: string;
    /** Number of the database. Default 0. */
    db?: number;
    /** What every Redis key begins with. Default `sess:`. */
    prefix?: string;
    /** TTL, seconds after the last save, or a function of the data that gives it. Default 86400 (a day). */
    ttl?: number | ((session: any) => number);
    /** How many connections, 1 to 64. Operations share connections; more than one seldom helps. Default 1. */
    poolSize?: number;
    /** How long an attempt to connect may take, ms. Default 5000. */
    connectTimeout?: number;
    /** How long a command may take, ms. Default 2000. */
    commandTimeout?: number;
    /** The name of the connections, for `CLIENT LIST`. */
    name?: string;
    /** The most operations in flight, and the most sessions with pending writes. Default 100000. */
    maxQueue?: number;
    /** The most bytes of data in either. Default 67108864 (64 MiB). */
    maxQueueBytes?: number;
    /**
     * The near cache: sessions that this process has stored or loaded stay in its memory, and are used without asking Redis
     * until Redis invalidates them. On unless it is `false`; not used if the server, or its access rules for the user, do
     * not allow CLIENT TRACKING (`stats().cache.on`).
     */
    cache?: boolean | CacheOptions;
  }

  interface CacheOptions {
    /** The most bytes that it takes, at least 1024. Default 67108864 (64 MiB). A session of more than an eighth is not kept. */
    max?: number;
    /** How long a session is used after it was stored or loaded, seconds. Default 60. */
    ttl?: number;
  }

  /** Sessions in Redis 6 or later. Connects at once; reconnects, with growing pauses, whenever a connection is lost. */
  class RedisStore extends NativeStore {
    constructor(options?: RedisStoreOptions);
    /** As `close`. */
    quit(options: CloseOptions, callback: Callback): void;
    quit(callback: Callback): void;
    quit(options?: CloseOptions): Promise<void>;
    stats(): RedisStoreStats;
    /** All connections are established. */
    on(event: 'connect', listener: () => void): this;
    /** A connection was lost; the store reconnects. */
    on(event: 'disconnect', listener: (why: SessionError) => void): this;
    /**
     * An attempt to connect failed, or an operation whose message did not wait for it: once, until an operation succeeds.
     * Also each write that is given up, with `ERR_SESSION_GIVEN_UP`.
     */
    on(event: 'error', listener: (err: SessionError) => void): this;
    on(event: string, listener: (...args: any[]) => void): this;
  }

  /**
   * What the module publishes on channels of `node:diagnostics_channel`, by their names. Without a subscriber it measures
   * nothing.
   *
   * ```ts
   * type Done = session.Diagnostics['drachtio-session:operation'];
   * diagnostics_channel.subscribe('drachtio-session:operation', (message) => {
   *   const { kind, duration } = message as Done;
   * });
   * ```
   */
  interface Diagnostics {
    /** An operation of a session or store has completed, or failed. */
    'drachtio-session:operation': {
      store: Store | JavaScriptStore;
      /**
       * `load`, `save`, `compareAndSet` (an attempt of an update), `removeKey`, `destroy` (a session), `get`, `set`, `delete` (a
       * name), `touch`, `all`, `ids`, `length`, `clear` or `close`.
       */
      kind: string;
      /** ms, including the time in the session's queue; far below 1 for an operation that completes at once. */
      duration: number;
      error?: Error;
    };
    /** The application gets a message. */
    'drachtio-session:message': {
      method: string;
      callId: string;
      /** How long the message waited for its session, ms. */
      duration: number;
      degraded: boolean;
    };
    /** What `store.stats()` gives, once a second while operations are pending; not of stores that answer at once. */
    'drachtio-session:stats': { store: Store | JavaScriptStore; stats: StoreStats };
    /** The breaker has opened, after repeated failures, or closed. */
    'drachtio-session:breaker': { store: Store | JavaScriptStore; open: boolean };
  }

  type ErrorCode =
    | 'ERR_SESSION_ARGUMENT'
    | 'ERR_SESSION_OPTION'
    | 'ERR_SESSION_DATA'
    | 'ERR_SESSION_GONE'
    | 'ERR_SESSION_CONFLICT'
    | 'ERR_SESSION_GIVEN_UP'
    | 'ERR_SESSION_TIMEOUT'
    | 'ERR_SESSION_CORRUPT'
    | 'ERR_SESSION_RESPONSE'
    | 'ERR_SESSION_NATIVE'
    | 'ERR_SESSION_STORE'
    | 'ERR_SESSION_STORE_AUTH'
    | 'ERR_SESSION_STORE_CLOSED'
    | 'ERR_SESSION_STORE_REFUSED'
    | 'ERR_SESSION_STORE_UNAVAILABLE';

  /** Every error of this module; the message says what to do. */
  class SessionError extends Error {
    code: ErrorCode;
    /** With `ERR_SESSION_CONFLICT` of a save: the data that another writer has stored. */
    newer?: Data;
  }

  /** Registers a class whose instances survive a save and a load. `Date` is always registered. */
  function addClass(Class: DataClass): void;

  /**
   * drachtio-srf: removes the sessions of calls whose process died, by the `cdr:stop` that drachtio-server sends when a
   * call ends (`<cdrs>true</cdrs>` in its configuration). Call it after `session({app: srf})`.
   *
   * @param options.after ms until the session is removed. A process that still has the call removes it itself before that.
   * Default 5000.
   */
  function cdr(srf: object, options?: { after?: number }): void;
}

export = session;
