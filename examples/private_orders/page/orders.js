// The page of a user, or of the admin. It gets a new ticket for each connection, subscribes to the topics that it may
// read, and loads the orders when the subscriptions are confirmed. `onlost` loads them again.
"use strict";

const rows = new Map();  // by ID of their orders
const element = (id) => document.getElementById(id);
const complain = (error) => { element("trouble").textContent = error.message; };

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(path, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function start() {
  const { user, hub, topics } = await ask("GET", "orders");
  element("title").textContent = user === "1" ? "All orders" : `Orders of user ${user}`;
  element("user").value = user;
  element("shop").hidden = false;
  globalThis.mq = new WebMQ(hub, { ticket: () => ask("POST", "ticket") });
  mq.onstate = (state, detail) => {
    element("state").textContent = { connecting: "Connecting", open: "Live" }[state] ?? "Not live";
    Object.assign(element("state"), { title: detail }).dataset.state = state;
  };
  await Promise.all(topics.map((topic) => mq.subscribe(topic, show, { onlost: load }).ready));
  await load();
}

async function load() {
  for (const order of (await ask("GET", "orders")).orders) show(order);
}

function show({ id, user, item, state }) {
  if (!rows.has(id)) {
    const row = element("orders").insertRow(0);
    for (const text of [user, item, ""]) row.insertCell().textContent = text;  // never markup
    rows.set(id, row);
  }
  const cell = rows.get(id).cells[2];
  if (cell.textContent === "sent") return;  // final: an event from before may arrive after the list was loaded
  cell.textContent = state;
  if (state === "sent" || element("user").value !== "1") return;
  cell.append(" ", Object.assign(document.createElement("button"), {
    textContent: "Send",
    onclick: () => ask("PATCH", `orders/${id}`).then(show).catch(complain),
  }));
}

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("POST", "login", { user: element("user").value }).then(() => location.reload()).catch(complain);
});

element("new").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("POST", "orders", { item: element("item").value }).then(show).catch(complain);
  event.target.reset();
});

start().catch((error) => { if (error.message !== "orders: 401") complain(error); });
