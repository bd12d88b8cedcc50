// The connection of the console, over which the page sees everything that happens in the hub, and pushes. It needs the
// token of the console. hub/_console.py describes the messages.

import { at } from "./dom.js";
import { filterBy, showEverything, take } from "./events.js";
import { clearRefusals, onChoice, showRefusals, showSubscribers, showTopics, showTotals, similarTo } from "./live.js";
import { finished, limit, pushBy, suggest } from "./push.js";
import { compact, counted, hintOf, NO_CONSOLE, PAGE_REFUSED, TOKEN_REFUSED, visible } from "./texts.js";

const STORE = `webmq.console:${location.pathname}`;
const WRONG_TOKEN = 4401;
const LONGEST_WAIT = 10000, SILENCE = 10000;  // milliseconds; the hub sends its state every second

let socket = null;
let token = stored();
let attempts = 0;
let timer;

/** Uses the facts about the hub: whether it has a console, and its limit of events. */
export function useFacts({ console: exists, max_body: mostBytes }) {
  limit(mostBytes);
  if (!exists && token) leave(NO_CONSOLE);
  at("door").hidden = !exists || document.body.dataset.console !== undefined;
}

function connect() {
  const url = new URL("console", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  const current = socket = new WebSocket(url, "webmq.console");
  let opened = false, welcomed = false;
  socket.onopen = () => {
    opened = true;
    current.send(token);
  };
  socket.onmessage = ({ data }) => {
    if (socket !== current) return;
    if (!welcomed) welcome(current);
    welcomed = true;
    watch(current);
    receive(JSON.parse(data));
  };
  socket.onclose = ({ code, reason }) => {
    if (socket !== current) return;
    if (code === WRONG_TOKEN) leave(TOKEN_REFUSED);
    else if (!opened && at("state").dataset.state === "open") retry(PAGE_REFUSED);
    else retry(reason);
  };
  watch(current);
}

function watch(current) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    current.onclose = null;  // it comes late if the link is dead: the browser waits for the peer's close frame
    current.close();
    retry("");
  }, SILENCE);
}

function welcome(current) {
  attempts = 0;
  if (!document.body.dataset.console) [at("push").open, at("pusher").open] = [false, at("push").open];
  store(token);
  clearRefusals();
  document.body.dataset.console = "open";
  at("views").hidden = at("everything").hidden = at("pusher").hidden = false;
  at("door").hidden = true;
  at("console-token").value = "";
  showTrouble("");
  showEverything(at("everything").ariaPressed === "true");
  pushBy((message) => current.send(message));
}

function receive({ events, skipped, refusals, topics, subscribers, totals, pushed }) {
  if (topics) showTopics(topics);
  if (subscribers) showSubscribers(subscribers);
  if (totals) showTotals(totals);
  if (refusals) showRefusals(refusals);
  if (events && at("everything").ariaPressed === "true") take(events.map(described), skipped);
  if (pushed) finished(pushed);
}

function described([time, topic, text, missing, receivers, key]) {
  const note = receivers === 0 ? "nobody" : counted(receivers, "subscriber");
  const hint = receivers === 0 ? hintOf(similarTo(topic)) : undefined;
  const by = key === null ? "unsigned" : `signed with the key ${visible(key)}`;
  return { time, topic, text: missing ? text : compact(text), missing, note, by, hint };
}

function retry(reason) {
  clearTimeout(timer);
  away();
  showTrouble(reason);
  timer = setTimeout(connect, Math.random() * Math.min(LONGEST_WAIT, 500 * 2 ** attempts++));
}

/** Closes the console, because the hub does not accept the token, or has no console. */
function leave(reason) {
  const former = socket;
  socket = token = null;
  former.close();
  clearTimeout(timer);
  away();
  store(null);
  delete document.body.dataset.console;
  showView("events");
  at("views").hidden = at("everything").hidden = at("pusher").hidden = true;
  at("door").hidden = false;
  showTrouble(reason);
}

function showTrouble(text) {
  at("door-trouble").textContent = visible(text);
  at("door-trouble").hidden = text === "";
}

function away() {
  if (document.body.dataset.console) document.body.dataset.console = "away";
  showEverything(false);
  pushBy(null);
}

/** Uses another token from now on. */
function open(given) {
  token = given;
  attempts = 0;
  const former = socket;
  socket = null;
  former?.close();
  connect();
}

/** Removes the token from the address, where it would be visible, kept in the history, and shared with a link. */
function takeFromAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  // URLSearchParams decodes a plus as a space, as in forms, but a token may contain a plus.
  const given = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")).get("console");
  if (!given) return;
  parameters.delete("console");
  const rest = String(parameters);
  history.replaceState(null, "", rest ? `#${rest}` : location.pathname + location.search);
  open(given);
}

function stored() {
  try {
    return sessionStorage.getItem(STORE);
  } catch {
    return null;  // the browser has no storage for this page
  }
}

function store(value) {
  try {
    if (value === null) sessionStorage.removeItem(STORE);
    else sessionStorage.setItem(STORE, value);
  } catch {
    // Without storage, the token is lost when the page is reloaded.
  }
}

function showView(name) {
  for (const button of at("views").querySelectorAll("[data-view]")) {
    const shown = button.dataset.view === name;
    button.ariaCurrent = shown ? "true" : null;
    at(`${button.dataset.view}-view`).hidden = !shown;
  }
}

for (const button of at("views").querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => showView(button.dataset.view));
}

at("everything").addEventListener("click", () => {
  const all = at("everything").ariaPressed === "false";
  at("everything").ariaPressed = String(all);
  showEverything(all);
});

at("door-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  open(at("console-token").value);
});

onChoice((topic) => {
  suggest(topic);
  filterBy(topic);
  showView("events");
});

addEventListener("hashchange", takeFromAddress);
takeFromAddress();
if (token && !socket) connect();
