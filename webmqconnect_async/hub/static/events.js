// The list of events: shows the latest ones, at any rate. It does not depend on the connection.

import { at, button, copy, element, number, time } from "./dom.js";
import { oneTabStop } from "./keys.js";
import { counted, parse, visible } from "./texts.js";

const MOST_EVENTS = 500;  // maximum number of events that are shown, and that wait to be shown
const LONG_TEXT = 400;  // characters of an event that are shown until its button is pressed
const RATE_SECONDS = 5;  // the rate is the mean of this time; also the time between two announcements
const KEPT_EVENTS = 200, KEPT_CHARACTERS = 1e6;  // maximum of what is kept for a reload
const STORE = `webmq.events:${location.pathname}`;

let waiting = [];  // events that wait for the next frame, or for the end of a pause; the latest last
let waitingCount = 0;  // includes events that were dropped because too many waited
let items = [];  // the events in the list, {event, row, text}, the latest first
let total = 0;
let announced = 0;
let paused = false;
let everything = false;  // whether the events come from the console
let sampledAt = -Infinity;  // when the console last left out events
let frame = 0;
let samples = [[performance.now(), 0]];  // of the total, one per second
let emptyText = "";

/** Adds an event of a subscription, unless the console is open, which has all events. */
export function arrive(event, topic) {
  if (!everything) take([{ time: Date.now(), topic, text: JSON.stringify(event) }]);
}

/** Shows that events of a subscription were lost, as a row of the list. */
export function lost(topic, why) {
  if (!everything) queue([{ time: Date.now(), topic, text: "", hint: `Events may be missing: ${why}.` }]);
}

/**
 * Adds events, the latest last, which are shown in the next frame.
 *
 * An event has a time in milliseconds, a topic and a text. One from the console also has the number of characters that
 * are missing from its text, notes on its receivers and its key, and a hint. `skipped` is how many were left out.
 */
export function take(events, skipped = 0) {
  total += events.length + skipped;
  if (skipped > 0) sampledAt = performance.now();
  queue(events);
}

/** Shows rows in the next frame, the latest last. */
function queue(rows) {
  waitingCount += rows.length;
  waiting.push(...rows);
  if (waiting.length >= 2 * MOST_EVENTS) waiting = waiting.slice(-MOST_EVENTS);  // a hidden page has no frames
  schedule();
}

/** Sets whether the events come from the console. */
export function showEverything(all) {
  everything = all;
  schedule();
}

/** Sets the text that is shown while there are no events. */
export function whenEmpty(text) {
  emptyText = text;
  schedule();
}

/** Shows only events with this text. */
export function filterBy(text) {
  at("filter").value = text;
  items.forEach(filter);
  schedule();
}

function schedule() {
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  if (!paused && waitingCount > 0) {
    const fresh = waiting.slice(-MOST_EVENTS).reverse().map(listed);
    [waiting, waitingCount] = [[], 0];
    items = [...fresh, ...items];
    at("events").prepend(...fresh.map(({ row }) => row));
    for (const { row } of items.splice(MOST_EVENTS)) row.remove();
  }
  showCounts();
}

function showCounts() {
  const shown = items.filter(({ row }) => !row.hidden).length;
  const filtered = at("filter").value ? `${number(shown)} of ${number(items.length)} shown, ` : "";
  const sampled = performance.now() - sampledAt < RATE_SECONDS * 1000 ? ", a sample is shown" : "";
  at("counts").textContent = `${filtered}${counted(total, "event")}, ${number(rate())}/s${sampled}`;
  at("pause").textContent = paused ? `Resume (${number(waitingCount)} new)` : "Pause";
  at("events").hidden = shown === 0;
  at("empty").hidden = shown > 0;
  at("empty").textContent = items.length > 0 ? "No event matches the filter."
    : everything ? "No event yet. All events of this hub appear here." : emptyText;
}

/** Returns events per second over the last seconds, rounded to an integer, or below 10 to tenths. */
function rate() {
  const [[began, before], [ended, after]] = [samples[0], samples.at(-1)];
  const mean = (after - before) / Math.max(ended - began, 1) * 1000;
  return mean < 10 ? Math.round(mean * 10) / 10 : Math.round(mean);
}

function listed(event) {
  const text = visible(event.text);
  const name = visible(event.topic);
  const row = element("li", "", { tabIndex: -1 });
  row.append(
    time(event.time),
    element("span", name, { title: name }),
    text.length > LONG_TEXT || event.missing ? expandable(event, text) : element("pre", text),
    element("small", event.note ?? "", { className: event.hint === undefined ? "" : "warning", title: event.by ?? "" }),
    button("Copy", "Copy the event", ({ currentTarget }) => copy(text, currentTarget)),
  );
  if (event.hint) row.append(element("p", visible(event.hint), { className: "hint" }));
  for (const each of row.querySelectorAll("button")) each.tabIndex = -1;
  const item = { event, row, text: `${name}\n${text}`.toLowerCase() };
  filter(item);
  return item;
}

/** Returns the beginning of a long event, and a button that shows all of it, indented. */
function expandable({ text: json, missing = 0 }, text) {
  const shown = element("pre", "");
  const whole = () => missing > 0 ? `${text}…\n${counted(missing, "more character")}`
    : JSON.stringify(parse(json), null, 2).split("\n").map((line) => visible(line)).join("\n");
  const more = button("", null, () => show(more.ariaExpanded === "false"), "quiet more");
  const show = (all) => {
    more.ariaExpanded = String(all);
    more.textContent = all ? "Show less" : `Show all ${number(text.length)} characters`;
    shown.replaceChildren(all ? whole() : `${text.slice(0, LONG_TEXT)}…`, "\n", more);
  };
  show(false);
  return shown;
}

function filter({ row, text }) {
  row.hidden = !text.includes(visible(at("filter").value).toLowerCase());
}

/** Keeps the latest events for a reload. */
function keep() {
  const kept = [];
  let characters = 0;
  for (const event of [...items.map((item) => item.event), ...waiting]) {
    characters += event.text.length + event.topic.length;
    if (kept.length === KEPT_EVENTS || characters > KEPT_CHARACTERS) break;
    kept.push(event);
  }
  try {
    sessionStorage.setItem(STORE, JSON.stringify(kept));
  } catch {
    // The browser has no storage for this page, or not enough.
  }
}

function restore() {
  try {
    take(JSON.parse(sessionStorage.getItem(STORE) ?? "[]").reverse());
  } catch {
    // The browser has no storage for this page.
  }
  samples = [[performance.now(), total]];
  announced = total;
}

at("filter").addEventListener("input", () => filterBy(at("filter").value));

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").ariaPressed = String(paused);
  schedule();
});

at("clear").addEventListener("click", () => {
  [items, waiting, waitingCount, total, announced] = [[], [], 0, 0, 0];
  samples = [[performance.now(), 0]];
  at("events").replaceChildren();
  schedule();
});

setInterval(() => {
  samples.push([performance.now(), total]);
  samples.splice(0, samples.length - RATE_SECONDS - 1);
  schedule();
}, 1000);

// A screen reader announces the number of new events from time to time, and not each event.
setInterval(() => {
  if (total > announced) at("announcement").textContent = `${counted(total - announced, "event")} more`;
  announced = total;
}, RATE_SECONDS * 1000);

addEventListener("pagehide", keep);
oneTabStop(at("events"), "li");
restore();
schedule();
