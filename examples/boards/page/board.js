// The page of both boards. It misses nothing: it subscribes, loads the list when the subscription is confirmed, and
// applies events. `onlost` loads the list again. Each change of the list increases its version by 1, so it does not
// matter whether the list or an event arrives first.
"use strict";

const rows = new Map();  // by ID of their items
let version = 0;  // of the list that the rows show
let loaded = Promise.resolve();  // resolves after all loads of the list
let mq = null;

const element = (id) => document.getElementById(id);
const complain = (text) => { element("trouble").textContent = text; };

async function start() {
  const list = await ask("GET", "items");
  take(list);
  mq = new WebMQ(list.hub);
  mq.onstate = showState;
  await mq.subscribe(list.topic, (change) => learn(change, true), { onlost: load }).ready;
  await load();
}

/** Loads the list after earlier loads have finished. Changes that arrive meanwhile wait for it. */
function load() { return loaded = loaded.then(fetchList); }

async function fetchList() {
  try {
    take(await ask("GET", "items"));
  } catch (error) {
    complain(error.message);
    await new Promise((done) => { setTimeout(done, 2000); });
    await fetchList();
    complain("");
  }
}

function take(list) {
  version = list.version;
  for (const id of rows.keys()) if (!list.items[id]) remove(id);
  for (const item of Object.values(list.items)) show(item);
}

/** Applies an event, or the response to a change of this page, which gets no events for its own changes. */
async function learn({ version: its, id, item }, theirs) {
  await loaded;
  if (its <= version) return;
  if (its > version + 1) return load();  // an earlier change is still to arrive, or its push failed
  version = its;
  const text = item?.text ?? rows.get(id).querySelector("span").textContent;
  const what = !item ? "Deleted" : !rows.has(id) ? "Added" : item.done ? "Done" : "Not done";
  if (item) show(item);
  else remove(id);
  if (theirs) element("news").textContent = `${what}: ${text}`;
  if (theirs) rows.get(id)?.animate({ backgroundColor: ["var(--fresh)", "transparent"] }, 2500);
}

async function change(method, path, body) {
  try {
    learn(await ask(method, path, body), false);
    complain("");
    return true;
  } catch (error) {
    complain(error.message);
    load();  // the change may have been made although the response was lost
  }
}

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json", "X-WebMQ-Session": mq?.sessionId ?? "" };
  const options = { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(10000) };
  const response = await fetch(path, options).catch(() => { throw new Error("The server does not answer."); });
  if (response.ok) return response.json();
  const { detail = response.status } = await response.json().catch(() => ({}));
  throw new Error(`The server says no: ${detail}.`);
}

element("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = element("text").value;
  event.target.reset();
  if (!await change("POST", "items", { text })) element("text").value ||= text;
});

function show({ id, text, done }) {
  if (!rows.has(id)) rows.set(id, element("items").appendChild(newRow(id, text)));
  rows.get(id).querySelector("input").checked = done;
  count();
}

function newRow(id, text) {
  const row = element("row").content.firstElementChild.cloneNode(true);
  const [box, words, button] = row.querySelectorAll("input, span, button");
  words.textContent = text;  // never as markup
  button.setAttribute("aria-label", `Delete: ${text}`);
  box.addEventListener("change", () => change("PATCH", `items/${id}`, { done: box.checked }));
  button.addEventListener("click", () => change("DELETE", `items/${id}`));
  return row;
}

function remove(id) {
  const row = rows.get(id), next = row.nextElementSibling ?? row.previousElementSibling ?? element("new");
  if (row.contains(document.activeElement)) next.querySelector("input").focus();
  row.remove();
  rows.delete(id);
  count();
}

function count() {
  const done = element("items").querySelectorAll(":checked").length;
  element("count").textContent = rows.size ? `${done} of ${rows.size} done` : "";
  element("none").hidden = rows.size > 0;
}

function showState(state, detail) {
  const text = { connecting: "Connecting", open: "Live" }[state] ?? "Not live";
  Object.assign(element("state"), { textContent: text, title: detail }).dataset.state = state;
}

start().catch((error) => complain(error.message));
