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
  sockets.at(-1).onmessage({ data: JSON.stringify(message) });
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
