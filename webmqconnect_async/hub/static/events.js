// The list of events: takes them as they arrive, at any rate, and shows the latest. Knows nothing of the connection.

import { at, button, copy, element, number } from "./dom.js";
import { visible } from "./texts.js";

const MOST_EVENTS = 500;  // that are kept, shown and waiting each
const LONG_TEXT = 400;  // characters of an event that are shown until one asks for the rest
const RATE_SECONDS = 5;  // that the rate is a mean of; also between two announcements

const clock = new Intl.DateTimeFormat("en", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});

let waiting = [];  // for the next frame, or the end of a pause; the latest last
let waitingCount = 0;  // also those that were too many to keep
let items = [];  // what is listed, {row, text}, the latest first
let total = 0;
let announced = 0;
let paused = false;
let frame = 0;
let samples = [[performance.now(), 0]];  // of the total, one a second
let emptyText = "";

/** Takes an event; what that changes on the page waits for the next frame, however many come until then. */
export function arrive(event, topic) {
  total += 1;
  waitingCount += 1;
  waiting.push({ event, topic, time: new Date() });
  if (waiting.length >= 2 * MOST_EVENTS) waiting = waiting.slice(-MOST_EVENTS);  // a hidden page has no frames
  schedule();
}

/** Sets what stands in the place of the events while there is none. */
export function whenEmpty(text) {
  emptyText = text;
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
  at("counts").textContent = `${filtered}${counted(total)}, ${number(rate())}/s`;
  at("pause").textContent = paused ? `Resume (${number(waitingCount)} new)` : "Pause";
  at("empty").hidden = shown > 0;
  at("empty").textContent = items.length > 0 ? "No event matches the filter." : emptyText;
}

/** Returns events a second over the last seconds: whole ones, or tenths where they are few. */
function rate() {
  const [[began, before], [ended, after]] = [samples[0], samples.at(-1)];
  const mean = (after - before) / Math.max(ended - began, 1) * 1000;
  return mean < 10 ? Math.round(mean * 10) / 10 : Math.round(mean);
}

function counted(events) {
  return `${number(events)} event${events === 1 ? "" : "s"}`;
}

function listed({ event, topic, time }) {
  const text = visible(JSON.stringify(event));
  const name = visible(topic);
  const row = document.createElement("li");
  row.append(
    element("time", clock.format(time), { dateTime: time.toISOString() }),
    element("span", name, { title: name }),
    text.length > LONG_TEXT ? expandable(event, text) : element("pre", text),
    button("Copy", "Copy the event", ({ currentTarget }) => copy(text, currentTarget)),
  );
  const item = { row, text: `${name}\n${text}`.toLowerCase() };
  filter(item);
  return item;
}

/** Returns the beginning of a long event, and a button that shows all of it, indented. */
function expandable(event, text) {
  const shown = element("pre", "");
  const whole = () => JSON.stringify(event, null, 2).split("\n").map((line) => visible(line)).join("\n");
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

at("filter").addEventListener("input", () => {
  items.forEach(filter);
  schedule();
});

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

// A screen reader hears of new events now and then, not of each.
setInterval(() => {
  if (total > announced) at("announcement").textContent = `${counted(total - announced)} more`;
  announced = total;
}, RATE_SECONDS * 1000);

schedule();
