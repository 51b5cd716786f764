/// <reference types="drachtio-srf" />
import session = require('./index');

/**
 * The data of the application's sessions, for the types of drachtio-srf. Declare it once:
 *
 * ```ts
 * declare module 'drachtio-session/srf' {
 *   interface CallData {
 *     caller?: string;
 *   }
 * }
 * ```
 */
export interface CallData {}

/** `CallData`; any data if it is not declared. */
export type SrfData = keyof CallData extends never ? session.Data : CallData;

/** The session that a leg shares: that of a request or a dialog. With `false` the leg gets its own. */
export type SessionOption = session.SessionData<SrfData> | session.Session<SrfData> | false;

declare module 'drachtio-srf' {
  interface SrfRequest extends session.SessionFields<SrfData> {}

  interface Dialog {
    /**
     * The data. After a change in a timer, call `session.save()`. Assigning the data of another session moves the dialog there,
     * as `mks.adopt(dialog)` does without a promise; assigning any other object replaces the content.
     */
    get session(): session.SessionData<SrfData>;
    set session(content: SrfData | session.SessionData<SrfData>);
    /** The session behind the data. */
    mks: session.Session<SrfData>;
    // events that drachtio-srf's own types lack, or declare with other arguments
    on(event: 'hold' | 'unhold', listener: (req: SrfRequest) => void): this;
    on(event: 'subscribe', listener: (req: SrfRequest, res: SrfResponse) => void): this;
    on(event: 'unsubscribe', listener: (req: SrfRequest, reason: string) => void): this;
    once(event: 'destroy', listener: (req: SrfRequest, reason?: string) => void): this;
    once(event: 'ack' | 'hold' | 'unhold' | 'refresh', listener: (req: SrfRequest) => void): this;
    once(event: 'unsubscribe', listener: (req: SrfRequest, reason: string) => void): this;
    once(
      event: 'info' | 'message' | 'modify' | 'notify' | 'options' | 'refer' | 'subscribe' | 'update',
      listener: (req: SrfRequest, res: SrfResponse) => void
    ): this;
  }

  interface CreateUASOptions {
    /** The session that the dialog joins, in place of the new one of its request. */
    session?: SessionOption;
  }

  interface CreateUACOptions {
    /** The session that the dialog shares. Default: a session of its own. */
    session?: SessionOption;
  }

  interface CreateB2BUAOptions {
    /** The session of the B leg. Default: that of the request. */
    session?: SessionOption;
  }
}
