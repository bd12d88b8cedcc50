// The live page: a subscriber that uses webmq.js and shows the events it receives. This module holds the connection.
// Topics, events and the console have modules of their own.

import { useFacts } from "./console.js";
import { at, copy } from "./dom.js";
import { arrive, lost } from "./events.js";
import { NEEDS_TICKET, parse, visible } from "./texts.js";
import { follow, refused, setLimits, subscribed } from "./topics.js";

const STATES = { open: "connected", closed: "not connected" };  // the labels of the others are their names
// Errors for which another key may help. After its first "open", webmq.js retries even these: the key may become valid.
const REFUSED = /^(authentication_failed|no_matching_auth_method): /;

let mq;
let keyed = false;  // whether the page has a key

function connect(identity = {}) {
  keyed = identity.key !== undefined;
  mq = new WebMQ(undefined, { ...identity, parse });
  mq.onstate = showState;
  mq.onlost = lost;
  subscribed().forEach(subscribe);
  showState(mq.state, mq.detail);
}

function subscribe(topic) {
  if (mq.state === "refused") return;  // the next connection subscribes to all topics
  const subscription = mq.subscribe(topic, arrive);
  subscription.ready.catch(({ message }) => {
    if (mq.state === "open" && subscription.state === "refused") refused(topic, message);
  });
}

function showState(state, detail) {
  if (state === "closed" && REFUSED.test(detail)) state = "refused";
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

/** Fetches the hub's limits: it may have been restarted with other options. */
async function learn() {
  try {
    const facts = await (await fetch("hub.json")).json();
    setLimits(facts);
    useFacts(facts);
  } catch {
    // The connection has been lost again.
  }
}

function askForKey(detail) {
  const ticketed = detail.endsWith("need a ticket");  // the error of hub/_wamp2/auth.py if no key would help
  showTrouble(ticketed ? NEEDS_TICKET : keyed ? `Refused: ${detail}.` : "");
  learn();
  at("key").required = at("secret").required = !keyed;
  at("keyless").hidden = !keyed;
  const typing = mq.state === "closed" && !at("credentials").hidden;  // while webmq.js tries the old key again
  at("credentials").hidden = ticketed;
  if (!typing && !ticketed) at(detail.startsWith("authentication_failed") ? "secret" : "key").focus();
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

// On a phone the events come first, so this section starts closed.
at("push").open = matchMedia("(min-width: 56rem)").matches;
connect();
follow({
  subscribed: subscribe,
  unsubscribed: (topic) => mq.unsubscribe(topic),
});
