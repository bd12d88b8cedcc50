// The topics that the page subscribes to. They are also in the address, for a reload or a shared link. The code to copy
// pushes to the chosen one.

import { at, button, number } from "./dom.js";
import { whenEmpty } from "./events.js";
import { command, curl, python } from "./lines.js";
import { suggest } from "./push.js";
import { visible } from "./texts.js";

const EXAMPLE_TOPIC = "http://example.com/orders";

const topics = new Map();  // to their items in the list
let chosen;  // the topic that is pushed to
let hub = { signed: false, max_topic: Infinity, max_subscriptions: Infinity };  // until they are fetched
let change = { subscribed() {}, unsubscribed() {} };

/** Subscribes to the topics in the address. From now on, calls `subscribed` or `unsubscribed` for each change. */
export function follow(changes) {
  change = changes;
  restore();
}

/** Returns the topics subscribed to. */
export const subscribed = () => [...topics.keys()];

/** Uses the facts about the hub: whether pushes must be signed, and its limits of topics. */
export function setLimits(facts) {
  hub = facts;
  setTopics(subscribed());
}

/** Shows why the hub has refused a topic. */
export function refused(topic, reason) {
  at("objections").textContent = visible(`Not subscribed to ${topic}: ${reason}.`);
}

/** Subscribes to these topics, and to no others. Returns whether all are valid; if not, the page shows why. */
function setTopics(wanted) {
  const taken = [];
  const objections = new Set();
  for (const topic of new Set(wanted)) {
    const objection = objectionTo(topic, taken.length);
    if (objection) objections.add(objection);
    else taken.push(topic);
  }
  subscribed().filter((topic) => !taken.includes(topic)).forEach(unsubscribe);
  taken.filter((topic) => !topics.has(topic)).forEach(subscribe);
  choose(topics.has(chosen) ? chosen : taken[0]);
  at("objections").textContent = [...objections].join(" ");
  return objections.size === 0;
}

function objectionTo(topic, count) {
  const length = [...topic].length;
  if (length === 0) return "A topic must not be empty.";
  if (length > hub.max_topic) {
    return `A topic of ${number(length)} characters is too long: this hub accepts up to ${number(hub.max_topic)}.`;
  }
  const most = hub.max_subscriptions;
  if (count >= most) return `Too many topics: this hub accepts up to ${number(most)}.`;
  return "";
}

function subscribe(topic) {
  const item = document.createElement("li");
  item.append(
    button(visible(topic), null, () => choose(topic), "topic"),
    button("×", `Unsubscribe from ${visible(topic)}`, () => {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      (next?.lastElementChild ?? at("topic")).focus();
      setTopics(subscribed().filter((each) => each !== topic));
      keep();
    }),
  );
  at("topics").append(item);
  topics.set(topic, item);
  change.subscribed(topic);
}

function unsubscribe(topic) {
  topics.get(topic).remove();
  topics.delete(topic);
  change.unsubscribed(topic);
}

function choose(topic) {
  chosen = topic;
  if (topic !== undefined) suggest(topic);
  for (const [each, item] of topics) item.firstElementChild.ariaPressed = String(each === topic);
  whenEmpty(topic === undefined ? "Subscribe to a topic to see its events." : "No event yet.");
  showLines();
}

function showLines() {
  const topic = chosen ?? EXAMPLE_TOPIC;
  const { origin, pathname, href } = new URL(".", location.href);
  const url = pathname === "/" ? origin : href;
  at("push-topic").textContent = visible(topic);
  at("python").textContent = python(url, topic, hub.signed);
  at("shell-name").textContent = hub.signed ? "Command line" : "curl";
  at("shell").textContent = hub.signed ? command(url, topic) : curl(url, topic);
  at("signing").hidden = !hub.signed;
}

function keep() {
  history.replaceState(null, "", `#${new URLSearchParams(subscribed().map((topic) => ["topic", topic]))}`);
}

function restore() {
  setTopics(new URLSearchParams(location.hash.slice(1)).getAll("topic"));
}

at("subscribe").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  if (!setTopics([...subscribed(), at("topic").value])) return;
  keep();
  at("topic").value = "";
});

addEventListener("hashchange", restore);
