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
 * @throws {session.SessionError} `ERR_SESSION_OPTION`: an option is unknown or can't be used
 */
declare function session<T extends object = session.Data>(options?: session.Options): session.Middleware<T>;

declare namespace session {
  /** Data of a session whose properties nobody has declared. */
  type Data = Record<string, any>;

  /** Node style: `err` is null when the operation succeeded. */
  type Callback<T = void> = (err: Error | null, value?: T) => void;

  /** Anything whose instances survive a save and a load: `new Class(plainData)` makes a loaded one, `Class.name` finds it. */
  type DataClass = new (data: any) => object;

  interface Options {
    /** Where sessions are kept. A `MemoryStore` when absent. */
    store?: Store | JavaScriptStore;
    /**
     * The application. Classic drachtio's is needed for `app.siprequest(uri, {session})`. An instance of drachtio-srf is
     * found at its first request if it is not given here; `drachtio-session/srf` has types for it.
     */
    app?: object;
    /** Classes to register, as `addClass` does. */
    resolvers?: DataClass[];
    /** How long a message may wait for the store, ms. Default 2000, on `RedisStore` its `commandTimeout`. */
    timeout?: number;
    /**
     * What becomes of a message whose session could not be loaded, or that begins a dialog while the store is left alone
     * after repeated failures. `'continue'` (default): it goes on, with `req.session.mks.degraded`. `'reject'`: a request
     * outside any dialog is answered 503 with Retry-After. A function decides for these and for requests inside a dialog.
     * BYE, CANCEL and ACK always go on.
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

  /** The data of a session, with two properties more that are not enumerable. */
  type SessionData<T extends object = Data> = T & {
    readonly mks: Session<T>;
    /**
     * Saves now. Changes made in a handler are saved without it, before the final response leaves.
     * Errors: `ERR_SESSION_GONE`, `ERR_SESSION_TIMEOUT`, `ERR_SESSION_STORE_UNAVAILABLE`, `ERR_SESSION_DATA`;
     * with `ifUnchanged` also `ERR_SESSION_CONFLICT`, with `newer` on the error.
     */
    save(options: SaveOptions, callback: Callback): void;
    save(callback: Callback): void;
    save(options?: SaveOptions): Promise<void>;
    /**
     * Changes what is stored by `change(data)` in one step, whoever else writes. The function gets a copy of the newest
     * data, may be called more than once, and must be synchronous. Gives what it returned.
     * Errors: `ERR_SESSION_GONE`; `ERR_SESSION_CONFLICT`: others kept writing until the deadline;
     * `ERR_SESSION_TIMEOUT`, `ERR_SESSION_STORE_UNAVAILABLE`: it may have been done, or may be done once, later.
     */
    update<R>(change: (data: T) => R, callback: Callback<R>): void;
    update<R>(change: (data: T) => R): Promise<R>;
  };

  interface SaveOptions {
    /** Fail with `ERR_SESSION_CONFLICT` if somebody else has saved since this process last loaded or saved the session. */
    ifUnchanged?: boolean;
  }

  /** The multi-key session: one data object, found by any of its keys (for a dialog: its Call-ID). */
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
    /** Whether it was removed or has expired: saves fail with `ERR_SESSION_GONE`. */
    readonly removed: boolean;
    /**
     * Whether the store could not be asked for it: it is as this process knows it, or stands in for it; or it is new while
     * the store is left alone.
     */
    readonly degraded: boolean;
    /** The data. Assigning an object replaces the content. */
    get session(): SessionData<T>;
    set session(content: T);
    /** Whether a save would write anything. */
    isDirty(): boolean;
    /** Whether it has a key, as far as this process knows. */
    has(id: string): boolean;
    /** Adds a key, with a resource to be stored with it. It is stored with the next save. */
    set(id: string, resource?: object | null): this;
    set(resource: { sessionID: string }): this;
    /** The resource of a key: an instance of its class, if that is registered. */
    get(id: string): any;
    /** Removes a key, and the session with its last one. */
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
    /** Saves what has changed and lets go. */
    close(callback: Callback): void;
    close(): Promise<void>;
    /** Gives any object `mks` and `session`. */
    attachTo(object: object): this;

    /** Finds a session by a key; null if there is none. */
    static loadFromStorage<T extends object = Data>(
      options: { store: Store | JavaScriptStore; resolvers?: DataClass[] },
      id: string,
      callback: Callback<Session<T> | null>
    ): void;
    static loadFromStorage<T extends object = Data>(
      options: { store: Store | JavaScriptStore; resolvers?: DataClass[] },
      id: string
    ): Promise<Session<T> | null>;
    /** The registered classes; applications may push to it. */
    static resolvers: DataClass[];
    static addResolvers(classes: DataClass[]): void;
    /** The class of the data object. */
    static SessionProto: new (mks: Session) => SessionData;
  }

  /** Something that happened to a target within a session. */
  class Event<Target = any, T extends object = Data> {
    constructor(given: { target: Target; mks: Session<T>; [more: string]: any });
    constructor(target: Target, mks: Session<T>, reason?: any);
    target: Target;
    mks: Session<T>;
    reason?: any;
    get session(): SessionData<T>;
    set session(content: T);
    /** `app.emit(name, this)`, then the callback; gives what `app.emit` gave. */
    emit(app: { emit(name: string, ...args: any[]): any }, name: string, callback?: () => void): any;
    [more: string]: any;
  }

  /** A store of the shape that connect and express have, with callbacks or, without the last parameter, promises. */
  interface JavaScriptStore {
    get(sid: string, callback: (err?: any, value?: any) => void): unknown;
    set(sid: string, value: any, callback?: (err?: any) => void): unknown;
    destroy(sid: string, callback?: (err?: any) => void): unknown;
    on?(event: string, listener: (...args: any[]) => void): unknown;
  }

  /** The base of stores: `get`, `set` and `destroy` come from subclasses, `generate` from the middleware. */
  class Store extends EventEmitter {
    /** Gives a holder a new session in place of the one it has. */
    regenerate(holder: object, callback: Callback): void;
    regenerate(holder: object): Promise<void>;
    /** The session that has a key; null if there is none. */
    load<T extends object = Data>(sid: string, callback: Callback<Session<T> | null>): void;
    load<T extends object = Data>(sid: string): Promise<Session<T> | null>;
    /** Gives a request a new session, in this process only. */
    generate(req: object): void;
    get(sid: string, callback: (err: any, value?: any) => void): any;
    set(sid: string, value: any, callback?: (err: any) => void): any;
    destroy(sid: string, callback?: (err: any) => void): any;
  }

  /** What the native stores have: values and sessions by name. Each takes a callback or gives a promise. */
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
    /** Starts the time to live anew. */
    touch(sid: string, value: any, callback: Callback): void;
    touch(sid: string, callback: Callback): void;
    touch(sid: string, value?: any): Promise<void>;
    /** Everything that is stored, as `get` gives it. */
    all(callback: Callback<any[]>): void;
    all(): Promise<any[]>;
    /** The names of everything that is stored; a session once, by the name it is stored under. */
    ids(callback: Callback<string[]>): void;
    ids(): Promise<string[]>;
    length(callback: Callback<number>): void;
    length(): Promise<number>;
    /** Removes everything. */
    clear(callback: Callback): void;
    clear(): Promise<void>;
    /**
     * Finishes what was asked for, also what is owed to a store that is away, within `timeout` (ms, default 5000); the rest
     * is told of by `error` events with `ERR_SESSION_GIVEN_UP`. Whatever comes later fails: `ERR_SESSION_STORE_CLOSED`.
     */
    close(options: CloseOptions, callback: Callback): void;
    close(callback: Callback): void;
    close(options?: CloseOptions): Promise<void>;
    /** What the store has done since it was made, and what it is at. */
    stats(): StoreStats;
  }

  /** Everything is counted from the making of the store; the near cache and the rest are this process's alone. */
  interface StoreStats {
    /**
     * How long operations were at the store, by their kind. What is done at once is not counted: everything in memory,
     * hits of the near cache, saves without changes.
     */
    latencies: Partial<Record<OperationKind, Latencies>>;
    /** How often the store's answer was an error, by its code. Not: deadlines that passed, what a breaker held back. */
    failures: Partial<Record<ErrorCode, number>>;
    /** The near cache; all 0 where there is none. */
    cache: CacheStats;
    /** Operations that are at the store now. */
    inFlight: number;
    /** Sessions of which something is owed to the store, or of which nobody knows whether it was done. */
    owed: number;
    /** Bytes of that. */
    owedBytes: number;
    /** Whether the store is left alone after repeated failures. */
    open: boolean;
  }

  type OperationKind = 'load' | 'save' | 'remove' | 'get' | 'set' | 'destroy' | 'touch' | 'scan' | 'ping' | 'close';

  interface Latencies {
    /** How many. */
    count: number;
    /** ms, from when the operation is handed over until its answer is taken by the event loop. */
    mean: number;
    /** Half of all took no longer, ms; rounded up to the next power of two of a microsecond. */
    p50: number;
    /** 99 of 100 took no longer, ms; rounded as `p50`. */
    p99: number;
  }

  interface CacheStats {
    /** Whether it is used: it is wanted, and the server tells of changes on all connections. */
    on: boolean;
    /** Sessions in it. */
    sessions: number;
    /** Bytes of memory that they take, about. */
    bytes: number;
    /** Loads that it has answered. */
    hits: number;
    /** Loads that it could not answer. */
    misses: number;
    /** Keys that the server has told of, because others have changed what is there. */
    invalidations: number;
  }

  interface RedisStoreStats extends StoreStats {
    /** Connections: how many are up, how many there should be, how many were made. */
    connections: { up: number; of: number; made: number };
    /** Pipelines that were sent: how many, the commands in all of them, the most in one. */
    batches: { count: number; commands: number; largest: number };
  }

  interface CloseOptions {
    /** ms, from 0 to a day. Default 5000. */
    timeout?: number;
  }

  interface MemoryStoreOptions {
    /** How many sessions and values are kept at most; the one used longest ago is dropped. Without it none ever is. */
    max?: number;
    /** Time to live after the last save, seconds, or a function of the data that gives it. Default 86400 (a day). */
    ttl?: number | ((session: any) => number);
  }

  /** The embedded default: sessions in this process, gone with it. */
  class MemoryStore extends NativeStore {
    constructor(options?: MemoryStoreOptions);
    /** Something was dropped to keep within `max`: its name, and what `get` would have given. */
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
    /** Path of a unix socket. */
    socket?: string;
    username?: string;
    password?: string;
    /** The same as `password`. */
    pass?: string;
    /** Number of the database. Default 0. */
    db?: number;
    /** What every key in Redis begins with. Default `sess:`. */
    prefix?: string;
    /** Time to live after the last save, seconds, or a function of the data that gives it. Default 86400 (a day). */
    ttl?: number | ((session: any) => number);
    /** How many connections, 1 to 64; one is used by many operations at once, and more seldom help. Default 1. */
    poolSize?: number;
    /** What connecting may take, ms. Default 5000. */
    connectTimeout?: number;
    /** What a command may take, ms. Default 2000. */
    commandTimeout?: number;
    /** The name of the connections, for `CLIENT LIST`. */
    name?: string;
    /** How many operations may be at Redis, and sessions wait to be written when it is back. Default 100000. */
    maxQueue?: number;
    /** How many bytes of data these may hold. Default 67108864 (64 MiB). */
    maxQueueBytes?: number;
    /**
     * The near cache: sessions that this process has stored or loaded lately stay in its memory, and are used without
     * asking Redis until it tells that somebody else has changed them. On unless it is `false`; not used where the
     * server or its rules for the user do not allow CLIENT TRACKING (`stats().cache.on`).
     */
    cache?: boolean | CacheOptions;
  }

  interface CacheOptions {
    /** How many bytes it may take, at least 1024. Default 67108864 (64 MiB). What would take more than an eighth is not kept. */
    max?: number;
    /** How long a session is used at most after it was stored or loaded, seconds. Default 60. */
    ttl?: number;
  }

  /** Sessions in Redis 6 or later. Connects at once, and again with growing pauses whenever the connection is lost. */
  class RedisStore extends NativeStore {
    constructor(options?: RedisStoreOptions);
    /** As `close`. */
    quit(options: CloseOptions, callback: Callback): void;
    quit(callback: Callback): void;
    quit(options?: CloseOptions): Promise<void>;
    stats(): RedisStoreStats;
    /** All connections are up (again). */
    on(event: 'connect', listener: () => void): this;
    /** A connection was lost; it is being made anew. */
    on(event: 'disconnect', listener: (why: SessionError) => void): this;
    /**
     * Trying to connect failed, or an operation whose message did not wait for it: once per change of state. And each
     * save or removal that is given up, `ERR_SESSION_GIVEN_UP`.
     */
    on(event: 'error', listener: (err: SessionError) => void): this;
    on(event: string, listener: (...args: any[]) => void): this;
  }

  /**
   * What is published on channels of `node:diagnostics_channel`, by their names. Nothing is measured while nobody has
   * subscribed.
   *
   * ```ts
   * type Done = session.Diagnostics['drachtio-session:operation'];
   * diagnostics_channel.subscribe('drachtio-session:operation', (message) => {
   *   const { kind, duration } = message as Done;
   * });
   * ```
   */
  interface Diagnostics {
    /** An operation of a session or store is done, or has failed. */
    'drachtio-session:operation': {
      store: Store | JavaScriptStore;
      /** What was called: `load`, `save`, `swap` (a try of an update), `removeKey`, `destroy`, `get`, `set`, `delete` and so on. */
      kind: string;
      /** ms, waiting behind others included; far below 1 for what is done at once. */
      duration: number;
      error?: Error;
    };
    /** A message goes on to the application. */
    'drachtio-session:message': {
      method: string;
      callId: string;
      /** How long it has waited for its session, ms. */
      duration: number;
      degraded: boolean;
    };
    /** What `store.stats()` gives, once a second while something is done. Not of stores that answer at once. */
    'drachtio-session:stats': { store: Store | JavaScriptStore; stats: StoreStats };
    /** After repeated failures the store is left alone (`open`), or it is asked again. */
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
    /** With `ERR_SESSION_CONFLICT` of a save: the data as somebody else has stored it. */
    newer?: Data;
  }

  /** Registers a class whose instances survive a save and a load. `Date` always is. */
  function addClass(Class: DataClass): void;

  /**
   * drachtio-srf: removes the sessions of calls whose process died, by the `cdr:stop` that drachtio-server sends when a
   * call ends (`<cdrs>true</cdrs>` in its configuration). Call it after `session({app: srf})`.
   *
   * @param options.after ms to leave to the process that has the call, which removes its session itself. Default 5000.
   */
  function cdr(srf: object, options?: { after?: number }): void;
}

export = session;
