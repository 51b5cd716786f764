/// <reference types="drachtio-srf" />
import session = require('./index');

/**
 * The data of the application's sessions on the types of drachtio-srf. Declare yours, once:
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

/** `CallData`, or anything while nobody has declared it. */
export type SrfData = keyof CallData extends never ? session.Data : CallData;

/** Whose session a leg shares: that of a request or a dialog; `false` for one of its own. */
export type SessionOption = session.SessionData<SrfData> | session.Session<SrfData> | false;

declare module 'drachtio-srf' {
  interface SrfRequest extends session.SessionFields<SrfData> {}

  interface Dialog {
    /** The data. Assigning an object replaces the content. After a change in a timer, call `session.save()`. */
    get session(): session.SessionData<SrfData>;
    set session(content: SrfData);
    /** The session behind the data. */
    mks: session.Session<SrfData>;
    // what drachtio-srf tells besides, or declares with a response where it gives the request
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
    /** A session that the dialog joins, in place of the new one of its request. */
    session?: SessionOption;
  }

  interface CreateUACOptions {
    /** The session the dialog shares. Without it, it gets one of its own. */
    session?: SessionOption;
  }

  interface CreateB2BUAOptions {
    /** The session of the B leg. Without it, it shares that of the request. */
    session?: SessionOption;
  }
}
