// The page of both boards, and a model of a page that misses nothing: it subscribes, and once that is confirmed it loads
// the list. After that it applies events, and `onlost` loads the list again. Each change of the list has a version, that
// of the change before plus 1, so it does not matter which is here first, the list or the event.
"use strict";

const RETRY = 2000;  // milliseconds
const rows = new Map();  // by ID of their items
let mq = null;
let version = 0;  // of the rows
let loaded = Promise.resolve();  // after all loads of the list

const element = (id) => document.getElementById(id);

async function start() {
  const list = await ask("GET", "items");
  take(list);
  mq = new WebMQ(list.hub);
  mq.onstate = showState;
  const subscription = mq.subscribe(list.topic, (change) => learn(change, true), { onlost: load });
  await subscription.ready;
  await load();
}

/** Loads the list, after the loads before. Changes that arrive meanwhile wait for it. */
function load() {
  loaded = loaded.then(fetchList);
  return loaded;
}

async function fetchList() {
  try {
    take(await ask("GET", "items"));
  } catch (error) {
    complain(error.message);
    await new Promise((done) => { setTimeout(done, RETRY); });
    await fetchList();
    complain("");
  }
}

function take(list) {
  version = list.version;
  for (const id of rows.keys()) if (!list.items[id]) remove(id);
  for (const item of Object.values(list.items)) show(item);
}

/** Takes an event, or the response to a change of this page, which gets no event of its own changes. */
async function learn(change, theirs) {
  await loaded;
  if (change.version > version + 1) load();  // the one before is on its way, or its push failed
  else if (change.version > version) apply(change, theirs);
}

function apply({ version: its, id, item }, theirs) {
  version = its;
  const text = item?.text ?? rows.get(id).querySelector("span").textContent;
  const what = !item ? "Deleted" : !rows.has(id) ? "Added" : item.done ? "Done" : "Not done";
  if (item) show(item);
  else remove(id);
  if (!theirs) return;
  element("news").textContent = `${what}: ${text}`;
  rows.get(id)?.animate({ backgroundColor: ["var(--fresh)", "transparent"] }, 2500);
}

// What a person does

async function change(method, path, body) {
  try {
    learn(await ask(method, path, body), false);
    complain("");
    return true;
  } catch (error) {
    complain(error.message);
    load();  // the change may have been made, and the response lost
    return false;
  }
}

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json", "X-WebMQ-Session": mq?.sessionId ?? "" };
  const options = { method, headers, body: body && JSON.stringify(body), cache: "no-store" };
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(10000) }).catch(() => {
    throw new Error("The server does not answer.");
  });
  if (response.ok) return response.json();
  const { detail } = await response.json().catch(() => ({}));
  throw new Error(`The server says no: ${typeof detail === "string" ? detail : response.status}.`);
}

element("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = element("text").value;
  event.target.reset();
  if (!await change("POST", "items", { text })) element("text").value ||= text;
});

// What is seen

function show(item) {
  if (!rows.has(item.id)) rows.set(item.id, element("items").appendChild(newRow(item)));
  rows.get(item.id).querySelector("input").checked = item.done;
  count();
}

function remove(id) {
  const row = rows.get(id), next = row.nextElementSibling ?? row.previousElementSibling ?? element("new");
  if (row.contains(document.activeElement)) next.querySelector("input").focus();
  row.remove();
  rows.delete(id);
  count();
}

function newRow({ id, text }) {
  const row = element("row").content.firstElementChild.cloneNode(true);
  const [box, words, button] = row.querySelectorAll("input, span, button");
  words.textContent = text;  // text, whatever it looks like
  button.setAttribute("aria-label", `Delete: ${text}`);
  box.addEventListener("change", () => change("PATCH", `items/${id}`, { done: box.checked }));
  button.addEventListener("click", () => change("DELETE", `items/${id}`));
  return row;
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

function complain(text) { element("trouble").textContent = text; }

start().catch((error) => complain(error.message));
