'use strict';
// The guarantees, as a model that a history is checked against.
//
// A history is a list of operations on one session, each with the moments `start` and `end` (a count over all of the
// history) and its `outcome`. A handle is one loaded data object. Each handle writes a property of its own, with the
// numbers 1, 2, 3, ... (or takes it away): so each value tells who wrote it, and when. update() counts, and leaves a
// token of its own.
//
//   done     it was acknowledged
//   pending  it failed because of the store (timeout, unavailable): it may take effect at any later time, and has taken
//            effect when the store was back and everything was closed
//   failed   the server said an error of its own, here because a fault has spoiled what it said: it was not done, but what
//            was to be saved is still in the data object, and goes with a later save
//   refused  gone, or a conflict: it has no effect. But what was done before the session ended, on a connection that was
//            lost, is refused as gone when it is asked for again: a load may have seen it
//
// At the end, after everything is mended and closed:
//   1 The session is there if one of its keys was added (done) and neither that key was removed nor the session
//     destroyed; it is not there if it was destroyed, or all of its keys were removed: done or pending.
//   2 A key that was removed leads nowhere; one that was added (done) and not removed leads to the session.
//   3 A handle's property has the number of its last save that was done or pending, or that of a later save in
//     doubt (an ifUnchanged or update that failed).
//   4 Each token of an update that was done is there once, of one that is pending at most once, of others never; the
//     count is the number of tokens.
// Meanwhile:
//   5 A load that began after a save was done finds that number or a later one, and never one that was not written yet.
//   6 Nothing is written to a session whose removal was done before: saves, updates, new keys are refused as gone, and
//     loads find nothing. Nothing is refused as gone while no removal has begun.
//   7 A save({ifUnchanged}) is not done if another process's write was done between this process's last look and it.
//   8 Without faults nothing is pending.
// A process with pending writes knows better than the store, and may not know what others did; one with a near
// cache hears of it a moment later: 5 and 6 do not hold for their loads.

const PENDING = new Set([
  'ERR_SESSION_TIMEOUT', 'ERR_SESSION_STORE_UNAVAILABLE', 'ERR_SESSION_STORE_AUTH'
]); // prettier-ignore
const REFUSED = new Set(['ERR_SESSION_GONE', 'ERR_SESSION_CONFLICT']);
const WRITES = new Set(['create', 'save', 'addKey', 'update']);

const statusOf = ({ outcome }) => {
  if (!outcome.code) return 'done';
  if (outcome.code === 'ERR_SESSION_STORE') return 'failed';
  return PENDING.has(outcome.code) ? 'pending' : REFUSED.has(outcome.code) ? 'refused' : 'wrong';
};

// What an operation may have written or not. A conflict has written nothing, but the change is still in the data object,
// which may be that of other handles of the process too: what they save later takes it along. An update() saves that
// first, whatever becomes of it then.
function mayWrite(op, ops, model) {
  if (op.status !== 'refused') return true;
  if (op.outcome.code === 'ERR_SESSION_GONE' && model.faulty && !model.endedBefore(op.start)) return true;
  if (op.kind === 'update') return true;
  const later = ({ kind, actor, end }) => kind !== 'load' && actor === op.actor && end > op.end;
  return op.outcome.code === 'ERR_SESSION_CONFLICT' && ops.some(later);
}

// Whether it is written when everything is well again.
const mustWrite = ({ status, kind, options }) =>
  status === 'done' || (status === 'pending' && kind !== 'update' && !options?.ifUnchanged);

const wasTaken = ({ added }) => added.status !== 'failed';

class Model {
  // `final`: {found: {key: uuid or null}, data} as another process finds it at the end
  constructor({ ops, faulty, cached, final }) {
    this.final = final;
    this.faulty = faulty;
    this.cached = cached;
    this.wrong = [];
    this.created = ops.find(({ keys }) => keys);
    this.ops = ops.map((op) => ({ ...op, status: op.kind === 'request' ? this.requested(op) : statusOf(op) }));
    this.created = this.ops.find(({ keys }) => keys);
  }

  // what became of the save of a request is not reported; there is none if it had no session
  requested({ outcome, method }) {
    if (outcome.code) return 'wrong';
    // a degraded one may be it all the same, as this process knows it
    const had = outcome.uuid === this.created.outcome.uuid;
    if (!had && method !== 'BYE') return 'refused';
    return this.faulty ? 'pending' : 'done';
  }

  fails(text, op) {
    this.wrong.push(op ? `${text}: ${JSON.stringify(op)}` : text);
  }

  check() {
    for (const op of this.ops) {
      if (op.status === 'wrong') this.fails('an unexpected error', op);
      if (['pending', 'failed'].includes(op.status) && !this.faulty) this.fails('8 it failed without a fault', op);
    }
    this.keys = this.keysAdded();
    this.checkEnd();
    for (const op of this.ops) {
      if (op.kind === 'load') this.checkLoad(op);
      if (WRITES.has(op.kind) && op.status === 'done' && this.endedBefore(op.start))
        this.fails('6 written after the end', op);
      if (op.outcome.code === 'ERR_SESSION_GONE' && !this.mayHaveEnded(op.end)) this.fails('6 gone, but it is not', op);
      if (op.options?.ifUnchanged && op.status === 'done') this.checkUnchanged(op);
    }
    return this.wrong;
  }

  keysAdded() {
    const keys = new Map();
    for (const key of this.created.keys) keys.set(key, { key, added: this.created });
    for (const op of this.ops) {
      if (op.kind === 'addKey' && op.status !== 'refused') keys.set(op.key, { key: op.key, added: op });
    }
    for (const entry of keys.values()) {
      entry.removals = this.ops.filter((op) => this.removes(op, entry.key));
    }
    return [...keys.values()];
  }

  // a BYE removes its key even if its session could not be loaded
  removes(op, key) {
    if (op.status === 'failed') return false;
    return (op.kind === 'delKey' || (op.kind === 'request' && op.method === 'BYE')) && op.key === key;
  }

  get destroys() {
    return this.ops.filter(({ kind, status }) => kind === 'destroy' && status !== 'failed');
  }

  // whether the session had ended, as everybody must see it, at a moment
  endedBefore(moment) {
    if (this.destroys.some(({ status, end }) => status === 'done' && end < moment)) return true;
    const gone = ({ removals }) =>
      removals.some(({ kind, status, end }) => kind === 'delKey' && status === 'done' && end < moment);
    return this.keys.every(gone);
  }

  // whether it may have ended by then
  mayHaveEnded(moment) {
    if (this.destroys.some(({ start }) => start < moment)) return true;
    // a pending key may never have come
    const never = ({ added }) => added.start > moment || (added.status !== 'done' && added !== this.created);
    return this.keys.every((key) => never(key) || key.removals.some(({ start }) => start < moment));
  }

  checkEnd() {
    const { found, data } = this.final;
    const { uuid } = this.created.outcome;
    const destroyed = this.destroys.length > 0;
    const left = this.keys.filter(({ removals }) => !destroyed && removals.length === 0);
    const holds = left.some((key) => wasTaken(key) && (key.added === this.created || key.added.status === 'done'));
    for (const each of this.keys) {
      const { key } = each;
      const allowed = left.includes(each) ? (holds && wasTaken(each) ? [uuid] : [uuid, null]) : [null];
      if (!allowed.includes(found[key])) this.fails(`2 ${key} leads to ${found[key]}, not to ${allowed.join(' or ')}`);
    }
    if (holds && !data) this.fails('1 the session is missing');
    if (left.length === 0 && data) this.fails('1 the session has ended and is there');
    if (!data) return;
    this.checkProperties(data);
    this.checkTokens(data);
  }

  writesOf(property) {
    return this.ops.filter((op) => op.property === property && mayWrite(op, this.ops, this));
  }

  checkProperties(data) {
    for (const property of new Set(this.ops.map((op) => op.property).filter(Boolean))) {
      const writes = this.writesOf(property);
      const last = Math.max(-1, ...writes.map((op, i) => (mustWrite(op) ? i : -1)));
      const allowed = last === -1 ? [undefined] : [];
      writes.slice(Math.max(0, last)).forEach(({ value }) => allowed.push(value ?? undefined));
      if (!allowed.includes(data[property])) {
        this.fails(`3 ${property} is ${data[property]}, not ${allowed.join(' or ')}`);
      }
    }
  }

  checkTokens(data) {
    const tokens = data.tokens || [];
    const updates = this.ops.filter(({ kind }) => kind === 'update');
    for (const { token, status } of updates) {
      const times = tokens.filter((each) => each === token).length;
      const ok = status === 'done' ? times === 1 : status === 'pending' ? times <= 1 : times === 0;
      if (!ok) this.fails(`4 the token ${token} of an update that was ${status} is there ${times} times`);
    }
    if ((data.count || 0) !== tokens.length) this.fails(`4 the count is ${data.count}, with ${tokens.length} tokens`);
  }

  // whether a process had pending writes when an operation of it began
  hadPending({ actor, end }) {
    return this.ops.some((op) => op.actor === actor && op.start < end && op.status === 'pending');
  }

  checkLoad(op) {
    const { found, data, uuid } = op.outcome;
    if (op.status !== 'done') return;
    const { added, removals } = this.keys.find(({ key }) => key === op.key) || {};
    if (found && uuid !== this.created.outcome.uuid) this.fails('2 another session', op);
    const removed = removals?.some(({ start }) => start < op.end) || this.destroys.some(({ start }) => start < op.end);
    const sure = added?.status === 'done' && added.end < op.start;
    if (!found && sure && !removed) this.fails('2 the key leads nowhere', op);
    if (!found || this.cached || this.hadPending(op)) return;
    if (this.endedBefore(op.start)) this.fails('6 found after the end', op);
    for (const property of new Set(this.ops.map((each) => each.property).filter(Boolean))) {
      const writes = this.writesOf(property);
      const floor = writes.findLastIndex(({ status, end }) => status === 'done' && end < op.start);
      const seen = data[property];
      const possible = writes.slice(Math.max(0, floor)).filter(({ start }) => start < op.end);
      const values = possible.map(({ value }) => value ?? undefined);
      if (floor === -1) values.push(undefined);
      // in its own process also what is not saved, and may never be
      const own = ({ actor, start }) => actor === op.actor && start < op.end;
      this.ops
        .filter((each) => each.property === property && own(each))
        .forEach(({ value }) => values.push(value ?? undefined));
      if (!values.includes(seen)) this.fails(`5 ${property} is ${seen}, not one of ${values.join(', ')}`, op);
    }
  }

  checkUnchanged(op) {
    const mine = this.ops.filter((each) => each.actor === op.actor && each.start < op.start);
    if (mine.some(({ end }) => end > op.start)) return;
    const looked = Math.max(0, ...mine.map(({ end }) => end));
    const between = ({ actor, kind, status, start, end, property, value }) =>
      actor !== op.actor &&
      WRITES.has(kind) &&
      property &&
      value !== null &&
      status === 'done' &&
      start > looked &&
      end < op.start;
    const other = this.ops.find(between);
    if (other) this.fails(`7 it was changed by ${JSON.stringify(other)}`, op);
  }
}

module.exports = { Model };
