// The live page: a subscriber like any other, by webmq.js, that shows what it gets. This is its connection; the topics
// and the events have modules of their own.

import { at, copy } from "./dom.js";
import { arrive } from "./events.js";
import { follow, subscribed, takesSigned } from "./topics.js";

const STATES = { open: "connected", closed: "not connected" };  // the others go by their names

let mq;

function connect(options) {
  mq = new WebMQ(undefined, options);
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
  at("trouble").textContent = text;
  at("trouble").hidden = text === "";
}

/** Asks what the hub takes; it may have come back with other options. */
async function learn() {
  try {
    takesSigned((await (await fetch("hub.json")).json()).signed);
  } catch {
    // It has gone again.
  }
}

function askForKey(detail) {
  const anonymous = detail.startsWith("anonymous-auth-forbidden");
  showTrouble(anonymous ? "" : `Refused: ${detail}.`);
  learn();
  at("credentials").hidden = false;
  at(anonymous ? "key" : "secret").focus();
}

at("credentials").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  try {
    const sign = WebMQ.signer(at("secret").value);
    at("secret").value = "";
    mq.close();
    connect({ key: at("key").value, sign });
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
