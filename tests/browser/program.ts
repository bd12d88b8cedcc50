// A program that TypeScript must accept, as an ES module and as CommonJS. Each line below @ts-expect-error is an error.
import { WebMQ, type Options, type State, type Subscription } from "webmqconnect-async";

interface Order {
  id: number;
}

const options: Options = { key: "k", sign: WebMQ.signer("secret"), realm: "orders", parse: (text) => JSON.parse(text) };
const mq: WebMQ = new WebMQ("https://hub.example.com", options);
const orders: Subscription = mq.subscribe<Order>("orders", (event, topic) => {
  const id: number = event.id;
  const name: string = topic;
  console.log(id, name);
  // @ts-expect-error: an order has no such member
  console.log(event.name);
});
mq.subscribe("orders", (event: Order) => console.log(event.id), { onlost: (topic: string, why: string) => {} });
mq.subscribe("orders", (event) => {
  // @ts-expect-error: an event is unknown unless the page says what it is
  console.log(event.id);
});
mq.subscribe("orders.", (event, topic) => console.log(topic, event), { match: "prefix", get_retained: true });
// @ts-expect-error: there is no such way to compare topics
mq.subscribe("orders", () => {}, { match: "suffix" });
orders.ready.then(() => console.log(orders.topic), (error) => console.log(error));
orders.onlost = null;
orders.unsubscribe();
mq.onlost = (topic, why) => console.log(topic.length, why.length);
mq.onstate = (state, detail, reconnected) => {
  const known: State = state;
  const again: boolean = reconnected;
  if (state === "refused") console.log(detail, known, again);
  // @ts-expect-error: there is no such state
  if (state === "disconnected") return;
};
const session: string | null = mq.sessionId;
console.log(session, mq.url, mq.detail);
new WebMQ(new URL("https://hub.example.com"), { WebSocket }).close();
new WebMQ(undefined, { key: "k", sign: async (challenge) => challenge });
new WebMQ(undefined, { key: "k", sign: (challenge, { salt }) => `${challenge}${salt}` });
new WebMQ(undefined, { ticket: async () => (await fetch("/ticket")).text() });
// @ts-expect-error: a key needs a function that signs
new WebMQ("https://hub.example.com", { key: "k" });
// @ts-expect-error: either a key or tickets
new WebMQ("https://hub.example.com", { key: "k", sign: () => "", ticket: () => "" });
// @ts-expect-error: read-only
mq.state = "open";
// @ts-expect-error: a topic is a string
mq.subscribe(1, () => {});
// @ts-expect-error: private
mq._connect();
