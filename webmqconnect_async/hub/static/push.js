// The form that pushes an event through the console.

import { at, number } from "./dom.js";
import { similarTo } from "./live.js";
import { resultOf } from "./texts.js";

let mostBytes = Infinity;
let send = null;  // sends a push; null while the console is not connected
let pending = false;

/** Sets the function that sends the query and the body of a push; null while there is no connection. */
export function pushBy(sending) {
  send = sending;
  if (send === null && pending) show("The connection was lost. The push may have been delivered.", true);
  pending = false;
  check();
}

/** Sets the maximum size of an event. */
export function limit(bytes) {
  mostBytes = bytes;
  check();
}

/** Suggests a topic. */
export function suggest(topic) { at("push-to").value = topic; }

/** Shows the result of the push. */
export function finished(result) {
  pending = false;
  show(resultOf(result, result.receivers === 0 ? similarTo(result.topic) : undefined), !(result.receivers > 0));
  check();
}

function show(text, warning) {
  at("push-result").textContent = text;
  at("push-result").className = warning ? "warning" : "good";
}

function check() {
  const text = at("push-event").value;
  const bytes = new TextEncoder().encode(text).length;
  const wrong = objectionTo(text, bytes);
  at("push-check").textContent = wrong || `Valid JSON, ${number(bytes)} of ${number(mostBytes)} bytes`;
  at("push-check").className = wrong ? "warning" : "";
  at("push-event").ariaInvalid = String(wrong !== "");
  at("push-button").disabled = wrong !== "" || send === null || pending;
}

function objectionTo(text, bytes) {
  if (bytes > mostBytes) return `Too long: ${number(bytes)} bytes; this hub accepts up to ${number(mostBytes)}.`;
  try {
    JSON.parse(text);
    return "";
  } catch ({ message }) {
    return `Not JSON yet: ${message}`;
  }
}

at("push-form").addEventListener("input", () => {
  show("", false);
  check();
});

at("push-event").addEventListener("keydown", (pressed) => {
  if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) at("push-form").requestSubmit(at("push-button"));
});

at("push-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  if (at("push-button").disabled) return;
  const query = new URLSearchParams({ topicuri: at("push-to").value });
  for (const name of ["eligible", "exclude"]) {
    const sessions = at(`push-${name}`).value.trim();
    if (sessions) query.set(name, sessions);
  }
  pending = true;
  show("", false);
  check();
  send(`${query}\n${at("push-event").value}`);
});
