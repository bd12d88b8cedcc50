// The live page: a WAMP v1 subscriber that shows what it gets. Everything is set as text, never as markup.
"use strict";

const WELCOME = 0, SUBSCRIBE = 5, EVENT = 8;
const MOST_ROWS = 500;
const RECONNECT_MS = 2000;

const at = (id) => document.getElementById(id);
const topics = new Set();
let socket;

function show(state) {
  at("state").textContent = state;
  at("state").dataset.state = state;
}

function connect() {
  const address = new URL("ws", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  show("connecting");
  socket = new WebSocket(address, "wamp");
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = () => {
    show("closed");
    at("session").textContent = "none";
    setTimeout(connect, RECONNECT_MS);
  };
}

function receive([type, first, second]) {
  if (type === WELCOME) {
    at("session").textContent = first;
    show("open");
    topics.forEach(subscribe);
  } else if (type === EVENT) {
    addEvent(first, second);
  }
}

function subscribe(topic) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify([SUBSCRIBE, topic]));
}

function addEvent(topic, event) {
  const row = document.createElement("tr");
  for (const text of [new Date().toLocaleTimeString(), topic, JSON.stringify(event)]) {
    row.insertCell().textContent = text;
  }
  at("events").prepend(row);
  at("empty").hidden = true;
  if (at("events").rows.length > MOST_ROWS) at("events").lastElementChild.remove();
}

at("subscribe").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const topic = at("topic").value;
  if (topics.has(topic)) return;
  topics.add(topic);
  const item = document.createElement("li");
  item.textContent = topic;
  at("topics").append(item);
  subscribe(topic);
});

connect();
