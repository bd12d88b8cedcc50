// The topics subscribed to, which the address keeps for a reload or a shared link, and the lines that push to one.

import { at, button } from "./dom.js";
import { whenEmpty } from "./events.js";

const EXAMPLE_TOPIC = "http://example.com/orders";
const EXAMPLE_EVENT = '{"id": 17, "state": "paid"}';

const topics = new Map();  // to their items in the list
let chosen;  // the topic that is pushed to
let signed = false;
let change = { subscribed() {}, unsubscribed() {} };

/** Takes the topics from the address, and from now on reports each that is subscribed to or unsubscribed from. */
export function follow(changes) {
  change = changes;
  restore();
}

/** Returns the topics subscribed to. */
export const subscribed = () => [...topics.keys()];

/** Says whether this hub takes signed pushes alone. */
export function takesSigned(value) {
  signed = value;
  showLines();
}

function subscribe(topic) {
  if (topics.has(topic)) return;
  const item = document.createElement("li");
  item.append(
    button(topic, null, () => choose(topic), "topic"),
    button("×", `Unsubscribe from ${topic}`, () => {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      (next?.lastElementChild ?? at("topic")).focus();
      unsubscribe(topic);
      keep();
    }),
  );
  at("topics").append(item);
  topics.set(topic, item);
  change.subscribed(topic);
  choose(chosen ?? topic);
}

function unsubscribe(topic) {
  topics.get(topic).remove();
  topics.delete(topic);
  change.unsubscribed(topic);
  choose(chosen === topic ? subscribed()[0] : chosen);
}

function choose(topic) {
  chosen = topic;
  for (const [each, item] of topics) item.firstElementChild.ariaPressed = String(each === topic);
  whenEmpty(topic === undefined ? "Subscribe to a topic to see its events." : "No event yet.");
  showLines();
}

function showLines() {
  const topic = chosen ?? EXAMPLE_TOPIC;
  const { origin, pathname, href } = new URL(".", location.href);
  const url = pathname === "/" ? origin : href;
  at("push-topic").textContent = topic;
  at("python").textContent = python(url, topic);
  at("shell-name").textContent = signed ? "Command line" : "curl";
  at("shell").textContent = signed ? command(url, topic) : curl(url, topic);
  at("signing").hidden = !signed;
}

function python(url, topic) {
  const key = signed ? `,
                auth_key="KEY",
                auth_secret="SECRET"` : "";
  // A string in JSON is one in Python, too.
  return `from webmqconnect_async import Client

client = Client(${JSON.stringify(url)}${key})
client.push(${JSON.stringify(topic)},
            ${EXAMPLE_EVENT})`;
}

function curl(url, topic) {
  const query = new URLSearchParams({ topicuri: topic });
  return `curl -d ${quoted(EXAMPLE_EVENT)} \\\n  ${quoted(`${new URL(url)}?${query}`)}`;
}

/** Returns what signs, as curl cannot. */
function command(url, topic) {
  return "WEBMQ_AUTH_SECRET=SECRET \\\n  webmqconnect push --key KEY \\\n"
    + `  ${url} \\\n  ${quoted(topic)} \\\n  ${quoted(EXAMPLE_EVENT)}`;
}

/** Returns a word for the shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function keep() {
  history.replaceState(null, "", `#${new URLSearchParams(subscribed().map((topic) => ["topic", topic]))}`);
}

function restore() {
  const kept = new URLSearchParams(location.hash.slice(1)).getAll("topic");
  subscribed().filter((topic) => !kept.includes(topic)).forEach(unsubscribe);
  kept.forEach(subscribe);
  if (kept.length === 0) choose(undefined);
}

at("subscribe").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  subscribe(at("topic").value);
  keep();
  at("topic").value = "";
});

addEventListener("hashchange", restore);
