// Checked by tsc, never run: the types of drachtio-srf with ours on them.

import Srf = require('drachtio-srf');
import session = require('../..');
import type { CallData, SessionOption } from '../../srf';

declare module '../../srf' {
  interface CallData {
    caller?: string;
    recording?: boolean;
  }
}

const srf = new Srf();
srf.use(session({ store: new session.MemoryStore(), app: srf }));
session.cdr(srf);
session.cdr(srf, { after: 1000 });

srf.invite(async (req, res) => {
  req.session.caller = req.callingNumber;
  req.session = { caller: 'jack' };
  // @ts-expect-error: not a property of the application's data
  req.session.unknown = 1;
  // @ts-expect-error: a string
  req.session.caller = 1;
  const id: string = req.sessionID;
  const { uas, uac } = await srf.createB2BUA(req, res, `sip:${id}@10.0.0.1`, { localSdpB: req.body });
  const same: boolean = uas.session === uac.session;
  uas.on('destroy', (bye) => bye.session.caller?.toUpperCase());
  uas.on('info', (info, response) => {
    info.session.recording = same;
    response.send(200);
  });
  uas.once('destroy', (bye, reason) => [bye.session.caller?.toUpperCase(), reason?.length]);
  uas.once('info', (info, response) => response.send(info.session.recording ? 200 : 500));
  for (const event of ['hold', 'unhold'] as const) uas.on(event, (reinvite) => reinvite.session.caller);
  uas.on('unsubscribe', (request, reason) => [request.session.caller, reason.length]);
  // @ts-expect-error: not a property of the application's data
  uas.once('destroy', (bye) => bye.session.unknown);
  uac.session.recording = true;
  await uac.session.save();
  uac.session = { recording: false };
  uac.session = uas.session;
  const other = await session.Session.loadFromStorage<CallData>({ store: req.sessionStore }, id);
  if (other) uac.session = other.session;
  await other?.adopt(uac);
  uas.mks.adopt(uac, (err) => err?.message);
  // @ts-expect-error: a session is no data
  uac.session = 'theirs';
  // @ts-expect-error: the id of a Dialog is no Dialog
  await uas.mks.adopt(uac.id);
  const uuid: string = uas.mks.uuid;
  const shared: SessionOption = uas.session;
  await srf.createUAC(uuid, { localSdp: '', session: shared });
  await srf.createUAC(uuid, { localSdp: '', session: uas.mks });
  await srf.createUAS(req, res, { localSdp: '', session: shared });
  await srf.createB2BUA(req, res, uuid, { session: false });
  // @ts-expect-error: any text is no session
  await srf.createUAC(uuid, { session: 'mine' });
});
