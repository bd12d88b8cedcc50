// What a page of the soak does with webmq.js: it subscribes, and records what it is told, in this order.
"use strict";

const draw = Math.random;
Math.random = () => draw() / 200;  // webmq.js waits for a random part of up to 30 s before it reconnects

if (typeof location === "undefined") {  // Node.js
  globalThis.location = { origin: "http://127.0.0.1" };
  globalThis.addEventListener ??= () => {};
  globalThis.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      // Browsers close a WebSocket after an error. Node.js 20 does not if the handshake fails.
      this.addEventListener("error", () => setTimeout(() => this.onclose?.({ code: 1006, reason: "" })));
    }
  };
}

const records = [];  // not read yet
const subscribers = new Map();  // by name

function connect(name, url) { subscribers.set(name, new WebMQ(url)); }

function subscribe(name, topic) {
  const mq = subscribers.get(name);
  const record = (kind, number = -1) => records.push([name, topic, kind, number, mq.sessionId]);
  const subscription = mq.subscribe(
    topic, ({ number }) => record("event", number), { onlost: () => record("lost") });
  subscription.ready.then(() => record("ready"), (error) => record(`refused: ${error}`));
}
