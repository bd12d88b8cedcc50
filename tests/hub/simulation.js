// A page without browser and network, for Node.js: the test moves the clock and plays the broker.
"use strict";

let now = 0;  // milliseconds
let random = 1;  // the result of Math.random
let hidden = false;
const sockets = [];  // all WebSockets, the latest last
const timers = new Map();  // pending calls by ID
const reported = [];  // exceptions of the page's own functions

globalThis.setTimeout = (call, wait) => {
  const id = (setTimeout.last = (setTimeout.last ?? 0) + 1);
  timers.set(id, { call, wait, due: now + wait });
  return id;
};
globalThis.clearTimeout = (id) => timers.delete(id);
Object.defineProperty(globalThis, "performance", { value: { now: () => now } });
Date.now = () => now;
Math.random = () => random;
globalThis.location = { origin: "http://page.example" };
globalThis.reportError = (error) => reported.push(error.message);

const globalEvents = new EventTarget();
globalThis.addEventListener = (...args) => globalEvents.addEventListener(...args);
globalThis.removeEventListener = (...args) => globalEvents.removeEventListener(...args);
globalThis.document = new EventTarget();
Object.defineProperty(document, "hidden", { get: () => hidden });

globalThis.WebSocket = class {
  constructor(url, protocols) {
    Object.assign(this, { url, protocols, protocol: SUBPROTOCOL, sent: [], closed: 0 });
    sockets.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.closed += 1; }
};

/** Resolves after all promise callbacks that are due. */
const rest = () => new Promise(setImmediate);

const online = () => globalEvents.dispatchEvent(new Event("online"));
const looked = () => document.dispatchEvent(new Event("visibilitychange"));

/** Advances the clock; fires the timers that are due on the way. */
async function pass(span) {
  const end = now + span;
  const due = () => [...timers].filter(([, timer]) => timer.due <= end).sort(([, a], [, b]) => a.due - b.due)[0];
  for (let next = due(); next; next = due()) {
    const [id, { call, due }] = next;
    now = Math.max(now, due);
    timers.delete(id);
    call();
    await rest();
  }
  now = end;
}

/** Advances the clock to the only pending timer and fires it; returns how long that took. */
async function elapse() {
  if (timers.size !== 1) throw new Error(`${timers.size} timers`);
  const [{ due }] = timers.values();
  const span = due - now;
  await pass(span);
  return span;
}

// The broker's end of the latest WebSocket

async function accept() {
  sockets.at(-1).onopen();
  await rest();
}

async function say(...message) {
  sockets.at(-1).onmessage({ data: `[${message.map((each) => JSON.stringify(each)).join()}]` });
  await rest();
}

async function lose(code = 1006, reason = "") {
  sockets.at(-1).onclose({ code, reason });
  await rest();
}

const sent = () => sockets.at(-1).sent;
const answer = (result) => say(3, sent().at(-1)[1], result);

/** Accepts the connection and joins the page, which has no key, or answers with an error's URI and text. */
const join = {
  wamp: async (uri, text) => {
    await accept();
    await say(0, "1234", 1, "a hub");
    if (uri !== undefined) return say(4, sent().at(-1)[1], uri, text);
    await answer(null);
    await answer({});
  },
  "wamp.2.json": async (uri, text) => {
    await accept();
    await (uri === undefined ? say(2, 1234, {}) : say(3, { message: text }, uri));
  },
}[SUBPROTOCOL];

/** Joins a WAMP v2 session whose WELCOME has these details. */
async function joinWith(details, session = 1234) {
  await accept();
  await say(2, session, details);
}

/** Reconnects after a connection was lost, and joins. */
async function rejoin(details, session) {
  await lose();
  await elapse();
  await joinWith(details, session);
}

/** Confirms the latest SUBSCRIBE, over WAMP v2. */
const confirm = (subscription, ...details) => say(33, sent().at(-1)[1], subscription, ...details);

/** Refuses the latest SUBSCRIBE, over WAMP v2. */
const refuse = (uri, ...args) => say(8, 32, sent().at(-1)[1], {}, uri, ...args);

/** Returns the options and topics of all SUBSCRIBEs of the latest connection, over WAMP v2. */
const subscribes = () => sent().filter(([type]) => type === 32).map(([, , options, topic]) => [topic, options]);

/** Returns the state of a promise: "pending", "resolved" or the message of its error. */
function settled(promise) {
  const outcome = promise.then(() => "resolved", (error) => error.message);
  return Promise.race([outcome, rest().then(() => "pending")]);
}

/** A hub with a history, one page, and a network that the test moves: each message to the page waits for `step`. */
class SimulatedHub {
  constructor() {
    this.newest = 1000;
    this.log = [];  // all events, as [topic, ID, value]
    this.ids = new Map();  // of subscriptions, by topic
    this.session = 0;
    this.lines = [];  // messages on their way to the page
    this.subscribed = new Set();
  }

  /** Accepts the latest connection of the page. */
  async connect() {
    this.lines = [];
    this.subscribed.clear();
    const socket = sockets.at(-1);
    socket.send = (text) => { if (sockets.at(-1) === socket) this.receive(JSON.parse(text)); };
    await accept();
  }

  receive([type, request, options, topic]) {
    if (type === 1) return this.lines.push([2, ++this.session, { _newest: this.newest, _history: "h", _any_topic: true }]);
    if (type !== 32) return;
    const id = this.ids.get(topic) ?? this.ids.set(topic, this.ids.size + 10).get(topic);
    this.subscribed.add(topic);
    if (options._after === undefined) return this.lines.push([33, request, id, { _newest: this.newest }]);
    const missed = this.log.filter((each) => each[0] === topic && each[1] > options._after);
    this.lines.push([33, request, id, { _missed: missed.length }], ...missed.map((event) => this.event(event)));
  }

  push(topic, value) {
    const event = [topic, ++this.newest, value];
    this.log.push(event);
    if (this.subscribed.has(topic)) this.lines.push(this.event(event));
  }

  event([topic, id, value]) { return [36, this.ids.get(topic), id, {}, [value]]; }

  /** Delivers the next messages: so many, or all. Returns whether there were so many. */
  async step(count = Infinity) {
    for (let number = 0; number < count; number += 1) {
      if (this.lines.length === 0) return false;
      await say(...this.lines.shift());
    }
    return true;
  }
}
