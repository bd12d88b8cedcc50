// The other views of the console: the topics and the subscribers of the hub, and its refusals.

import { at, button, clock, copy, element, number, time } from "./dom.js";
import { oneTabStop } from "./keys.js";
import { counted, hintOf, remedyOf, visible } from "./texts.js";

const MOST_REFUSALS = 100;
const RATE_SECONDS = 5;  // the rate of a topic is the mean of this time
const ANNOUNCED_MS = 5000;

let subscribers = new Map();  // the number of subscribers by topic
let counts = new Map();  // the last numbers of events by topic, one per second
let fresh = 0;  // the number of refusals that have not been announced
let latest = null;  // the refusal at the top, {key, count, row}
let chosen = () => {};

/** Sets the function that is called with a topic when its button is pressed. */
export function onChoice(call) { chosen = call; }

/** Shows the topics of the hub, each as [name, subscribers, events, milliseconds of the last event, its text]. */
export function showTopics(topics) {
  subscribers = new Map(topics.map(([name, count]) => [name, count]));
  const later = (name, count) => [...(counts.get(name) ?? []), count].slice(-RATE_SECONDS - 1);
  counts = new Map(topics.map(([name, , count]) => [name, later(name, count)]));
  const names = topics.map(([name]) => name).filter((name) => visible(name) === name);  // a datalist cannot escape
  at("live-names").replaceChildren(...names.map((name) => element("option", "", { value: name })));
  fill(at("live-rows"), topics.map(([name, count, events, last, text]) => ({
    key: name,
    first: () => button(visible(name), `Show the events of ${visible(name)}`, () => chosen(name), "topic"),
    cells: [
      [number(count), count === 0 ? "warning" : "", "Subscribers"],
      [rateOf(name), "", "Events/s"],
      [events > 0 ? `${clock(last)}  ${visible(text)}` : "", "last"],
      [count === 0 ? hintOf(similarTo(name)) : "", "hint"],
    ],
  })));
  at("no-topic").hidden = topics.length > 0;
}

/** Shows subscribers, each as [ID, key, protocol, address, since, queued bytes, number of topics, some of them]. */
export function showSubscribers(sessions) {
  fill(at("subscriber-rows"), sessions.map(([id, key, protocol, address, since, queued, count, topics]) => ({
    key: id,
    first: () => element("code", id),
    cells: [
      [visible(key ?? "anonymous") + (at("session").textContent === id ? ", this page" : ""), ""],
      [topicsOf(topics, count), "topics"],
      [`${number(queued)} B`, queued > 0 ? "warning" : "", "Queued"],
      [clock(since).slice(0, 8), "", "Since"],
      [`${visible(address)}, ${protocol}`, ""],
    ],
  })));
  at("no-subscriber").hidden = sessions.length > 0;
}

function topicsOf(topics, count) {
  const more = count - topics.length;
  return [...topics.map((topic) => visible(topic)), ...(more > 0 ? [`${number(more)} more`] : [])].join("\n") || "none";
}

/** Shows the totals, which also count what the tables have no room for. Topics include those without subscribers. */
export function showTotals({ topics, subscribers: joined, refusals }) {
  const live = topics + [...subscribers.values()].filter((count) => count === 0).length;
  for (const [name, count] of Object.entries({ live, subscribers: joined, refusals })) {
    at(`${name}-total`).textContent = number(count);
  }
}

/** Removes the refusals, because the hub sends them again on a new connection. */
export function clearRefusals() {
  at("refusal-rows").replaceChildren();
  latest = null;
}

/** Adds refusals, each as [milliseconds, what, reason, remedy, address, status, forged], as in hub/_observer.py. */
export function showRefusals(refusals) {
  for (const [milliseconds, what, reason, remedy, address, status, forged] of refusals) {
    const key = JSON.stringify([what, reason, remedy, address]);
    if (latest?.key === key) {
      latest.count += 1;
      latest.row.querySelector("small").textContent = `${number(latest.count)} times`;
      latest.row.querySelector("time").replaceWith(time(milliseconds));
    } else {
      const row = refusal(milliseconds, what, reason, remedyOf(remedy), address, status, forged);
      latest = { key, count: 1, row };
      at("refusal-rows").prepend(latest.row);
    }
  }
  for (const row of [...at("refusal-rows").children].slice(MOST_REFUSALS)) row.remove();
  at("no-refusal").hidden = latest !== null;
  fresh += refusals.length;
}

function refusal(milliseconds, what, reason, [advice, option], address, status, forged) {
  const row = element("li", "", { tabIndex: -1, className: forged ? "forged" : "" });
  row.append(
    time(milliseconds),
    element("strong", `${what[0].toUpperCase()}${what.slice(1)}${status === null ? "" : ` ${status}`}`),
    element("p", visible(reason)),
    element("small", ""),
    element("span", visible(address)),
  );
  const remedy = element("p", visible(advice), { className: "remedy" });
  if (option) {
    const copies = button("Copy", "Copy the remedy", ({ currentTarget }) => copy(visible(option), currentTarget));
    copies.tabIndex = -1;
    remedy.append(" ", element("code", visible(option)), copies);
  }
  if (advice) row.append(remedy);
  return row;
}

/** Returns a topic with subscribers whose name differs in one or two characters, or in case; or undefined. */
export function similarTo(topic) {
  return [...subscribers].find(([name, count]) => count > 0 && name !== topic && isSimilar(name, topic))?.[0];
}

function isSimilar(one, other) {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  let start = 0, end = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start += 1;
  const rest = Math.min(a.length, b.length) - start;
  while (end < rest && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  return start + end > 2 && Math.max(a.length, b.length) - start - end <= 2;
}

function rateOf(name) {
  const known = counts.get(name);
  const mean = Math.max(known.at(-1) - known[0], 0) / Math.max(known.length - 1, 1);
  return number(mean < 10 ? Math.round(mean * 10) / 10 : Math.round(mean));
}

/** Shows rows in the order of their keys. Existing elements are reused, so that focus and selection are kept. */
function fill(body, rows) {
  const known = new Map([...body.rows].map((row) => [row.key, row]));
  rows.sort((a, b) => a.key < b.key ? -1 : 1);
  rows.forEach(({ key, first, cells }, index) => {
    const row = known.get(key) ?? made(key, first(), cells.length);
    known.delete(key);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
    cells.forEach(([text, className, label], column) => {
      const cell = row.cells[column + 1];
      if (cell.textContent !== text) cell.textContent = text;
      if (cell.className !== className) cell.className = className;
      if (label) cell.dataset.label = label;  // shown on narrow screens, where the table has no head
    });
  });
  for (const row of known.values()) row.remove();
}

function made(key, first, columns) {
  // With roles, because a table loses its own in browsers if CSS changes its `display`.
  const row = element("tr", "", { tabIndex: -1, role: "row", key });
  first.tabIndex = -1;
  row.append(element("th", "", { scope: "row", role: "rowheader" }));
  for (let column = 0; column < columns; column += 1) row.append(element("td", "", { role: "cell" }));
  row.firstElementChild.append(first);
  return row;
}

setInterval(() => {
  if (fresh > 0) at("refusal-announcement").textContent = counted(fresh, "refusal");
  fresh = 0;
}, ANNOUNCED_MS);

for (const name of ["live-rows", "subscriber-rows"]) oneTabStop(at(name), "tr");
oneTabStop(at("refusal-rows"), "li");
