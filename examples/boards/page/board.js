// The page of both boards. Each change of the list is one version: the next one can be taken from an event, or from the
// answer to what this page has asked for; after any other the whole list is fetched.
"use strict";

const RETRY = 2000, LOOK = 60000;  // milliseconds

const items = new Map();  // by ID, as of `version`
let version = 0;
let heard = 0;  // the newest version that came while the list was on its way
let hub = "", mq = null;
let stale = false, fetching = false, away = false;

const element = (id) => document.getElementById(id);

// What is so

function learn({ version: its, id, item }, from) {
  heard = Math.max(heard, its);
  if (its === version + 1) {
    version = its;
    if (from === "others") element("news").textContent = news(items.get(id), item);
    if (item) items.set(id, item);
    else items.delete(id);
    show(from === "others" ? id : null);
  } else if (its > version) {
    refresh();
  }
}

/** Fetches the list, until it is at least as new as any change that came meanwhile, and no sooner asked for than now. */
async function refresh() {
  stale = true;
  if (fetching) return;
  fetching = true;
  while (stale) {
    stale = false;
    heard = 0;
    try {
      const list = await ask("GET", "items");
      if (list.version >= heard) take(list);
      else stale = true;
      if (away) complain(null);
      away = false;
    } catch (error) {
      away = true;
      complain(error);
      await new Promise((done) => { setTimeout(done, RETRY); });
      stale = true;
    }
  }
  fetching = false;
}

function take(list) {
  version = list.version;
  items.clear();
  for (const item of Object.values(list.items)) items.set(item.id, item);
  show();
  if (hub !== list.hub) listen(list.hub, list.topic);
}

function listen(url, topic) {
  mq?.close();
  hub = url;
  mq = new WebMQ(url);
  mq.subscribe(topic, (change) => learn(change, "others"));
  mq.onstate = (state, detail) => {
    showState(state, detail);
    // What was pushed until it was open is lost; and what has closed may be somewhere else now.
    if (state === "open" || state === "closed") refresh();
  };
}

// What a person does

async function change(method, path, body) {
  try {
    learn(await ask(method, path, body), "us");
    complain(null);
    return true;
  } catch (error) {
    complain(error);
    refresh();  // it may have been made, and the answer lost
    return false;
  }
}

async function ask(method, path, body) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (mq?.sessionId) headers["X-WebMQ-Session"] = mq.sessionId;  // we know it from the answer: no event for us
  const request = { method, headers, body: body && JSON.stringify(body), cache: "no-store" };
  const answer = await fetch(path, { ...request, signal: AbortSignal.timeout(10000) }).catch(() => {
    throw new Error("The server does not answer.");
  });
  if (answer.ok) return answer.json();
  const { detail } = await answer.json().catch(() => ({}));
  throw new Error(`The server says no: ${typeof detail === "string" ? detail : answer.status}.`);
}

element("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, input = element("text");
  if (input.readOnly) return;  // Enter was pressed twice
  input.readOnly = true;
  if (await change("POST", "items", { text: input.value })) form.reset();
  input.readOnly = false;
});

// What is seen

function show(fresh = null) {
  const list = element("items");
  const rows = new Map([...list.children].map((row) => [Number(row.dataset.id), row]));
  const focused = [...rows.values()].findIndex((row) => row.contains(document.activeElement));
  for (const [id, row] of rows) if (!items.has(id)) row.remove();
  for (const [index, item] of [...items.values()].entries()) {
    const row = rows.get(item.id) ?? newRow(item);
    row.querySelector("input").checked = item.done;
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
    if (item.id === fresh) highlight(row);
  }
  if (focused >= 0 && !list.contains(document.activeElement)) {  // what had the focus was deleted
    (list.children[Math.min(focused, items.size - 1)]?.querySelector("input") ?? element("text")).focus();
  }
  const done = [...items.values()].filter((item) => item.done).length;
  element("count").textContent = items.size ? `${done} of ${items.size} done` : "";
  element("none").hidden = items.size > 0;
}

function newRow({ id, text }) {
  const [row, label, box, words, button] = ["li", "label", "input", "span", "button"].map(
    (tag) => document.createElement(tag));
  row.dataset.id = id;
  box.type = "checkbox";
  box.addEventListener("change", () => change("PATCH", `items/${id}`, { done: box.checked }));
  words.textContent = text;  // text, whatever it looks like
  button.type = "button";
  button.textContent = "×";
  button.title = "Delete";
  button.setAttribute("aria-label", `Delete: ${text}`);
  button.addEventListener("click", () => change("DELETE", `items/${id}`));
  label.append(box, words);
  row.append(label, button);
  return row;
}

function highlight(row) {
  row.classList.remove("fresh");
  void row.offsetWidth;  // or else the animation would not begin anew
  row.classList.add("fresh");
}

function news(before, after) {
  if (!before) return `Added: ${after.text}`;
  if (!after) return `Deleted: ${before.text}`;
  return `${after.done ? "Done" : "Not done"}: ${after.text}`;
}

function showState(state, detail) {
  const said = { connecting: "Connecting", open: "Live" }[state] ?? "Not live";
  Object.assign(element("state"), { textContent: said, title: detail }).dataset.state = state;
}

function complain(error) { element("trouble").textContent = error?.message ?? ""; }

// A push may fail, and nobody is told so: look from time to time.
const look = () => { if (!document.hidden) refresh(); };
setInterval(look, LOOK);
document.addEventListener("visibilitychange", look);
refresh();
