// The live page: a subscriber like any other, by webmq.js, that shows what it gets. This is its connection; the topics
// and the events have modules of their own.

import { at, copy } from "./dom.js";
import { arrive } from "./events.js";
import { parse, visible } from "./texts.js";
import { follow, heed, subscribed } from "./topics.js";

const STATES = { open: "connected", closed: "not connected" };  // the others go by their names

let mq;

function connect(identity) {
  mq = new WebMQ(undefined, { ...identity, parse });
  mq.onstate = showState;
  for (const topic of subscribed()) mq.subscribe(topic, arrive);
  showState(mq.state, mq.detail);
}

function showState(state, detail) {
  at("state").textContent = STATES[state] ?? state;
  at("state").dataset.state = state;
  at("session").textContent = mq.sessionId;
  at("session-line").hidden = state !== "open";
  if (state === "open") {
    showTrouble("");
    at("credentials").hidden = true;
    learn();
  } else if (state === "closed") {
    showTrouble(`Trying again: ${detail}.`);
  } else if (state === "refused") {
    askForKey(detail);
  }
}

function showTrouble(text) {
  at("trouble").textContent = visible(text);
  at("trouble").hidden = text === "";
}

/** Asks the hub what it takes; it may have come back with other options. */
async function learn() {
  try {
    heed(await (await fetch("hub.json")).json());
  } catch {
    // It has gone again.
  }
}

function askForKey(detail) {
  const anonymous = detail.startsWith("anonymous-auth-forbidden");
  showTrouble(anonymous ? "" : `Refused: ${detail}.`);
  learn();
  at("key").required = at("secret").required = anonymous;
  at("keyless").hidden = anonymous;
  at("credentials").hidden = false;
  at(detail.startsWith("invalid-signature") ? "secret" : "key").focus();
}

at("credentials").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  try {
    const key = at("key").value;
    const identity = key ? { key, sign: WebMQ.signer(at("secret").value) } : {};
    at("secret").value = "";
    mq.close();
    connect(identity);
  } catch (error) {
    showTrouble(error.message);
  }
});

for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(at(button.dataset.copies).textContent, button));
}

// On a phone the events come first.
at("push").open = matchMedia("(min-width: 56rem)").matches;
connect();
follow({
  subscribed: (topic) => mq.subscribe(topic, arrive),
  unsubscribed: (topic) => mq.unsubscribe(topic),
});
