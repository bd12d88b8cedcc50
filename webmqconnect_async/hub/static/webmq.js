// Events of a WebMQ hub, or of Crossbar.io, in a web page. A classic script, which defines one global, WebMQ:
//
//     <script src="http://127.0.0.1:8080/webmq.js"></script>
//     <script>
//       const mq = new WebMQ();  // the hub that the script came from; for another one: new WebMQ("https://…")
//       mq.subscribe("http://example.com/orders", (event, topic) => console.log(topic, event));
//       mq.onstate = (state, detail) => console.log(state, detail);
//     </script>
//
// When the connection breaks, or has been dead for 40 s, it connects and subscribes again. What was pushed meanwhile is
// lost: a hub keeps no history. Written for ES2020, for pages and workers, without dependencies.
globalThis.WebMQ = (() => {
  "use strict";

  // Milliseconds.
  const FIRST_WAIT = 500, LONGEST_WAIT = 30000;  // before it connects again
  const SILENCE = 30000;  // after which it asks whether anybody is there
  const PATIENCE = 10000;  // for an answer to that, and from connecting to open
  const scriptUrl = globalThis.document?.currentScript?.src;

  const PROCEDURES = "http://api.wamp.ws/procedure#";  // of WAMP v1
  const NO_SUBSCRIPTION = 2 ** 53;  // an ID as WAMP v2 has them, which no broker has given away

  /** The hub's no. Whatever else fails may do better the next time. */
  class Refusal extends Error {}

  /** WAMP v1 over one connection. A protocol knows nothing of handlers, nor of connecting again. */
  class Wamp1 {
    /** Takes a function that sends a message, and one to call with topic and event. */
    constructor(send, deliver) {
      this._send = send;
      this._deliver = deliver;
      this._calls = [];
      this._welcome = new Promise((resolve) => { this._welcomed = resolve; });
    }

    /** Authenticates. Returns a promise of the session ID, rejected with a Refusal where the hub says no. */
    async open({ key, sign }) {
      const sessionId = await this._welcome;
      if (key !== undefined) {
        await this._call("auth", await sign(await this._call("authreq", key)));
        return sessionId;
      }
      try {
        await this._call("authreq");
        await this._call("auth", null);  // some hubs let nobody subscribe who has not authenticated as nobody
      } catch (error) {
        if (!error.message.startsWith("NoSuchRPCEndpoint")) throw error;
      }
      return sessionId;
    }

    subscribe(topic) { this._send([5, topic]); }

    unsubscribe(topic) { this._send([6, topic]); }

    /** Sends what will be answered. */
    ping() { this._send([2, "ping", `${PROCEDURES}ping`]); }

    receive([type, first, second, third]) {
      if (type === 0) this._welcomed(first);
      else if (type === 3) this._calls[first]?.resolve(second);
      else if (type === 4) this._calls[first]?.reject(new Refusal(`${String(second).split("#").pop()}: ${third}`));
      else if (type === 8) this._deliver(first, second);
    }

    _call(procedure, ...args) {
      return new Promise((resolve, reject) => {
        const id = String(this._calls.push({ resolve, reject }) - 1);
        this._send([2, id, PROCEDURES + procedure, ...args]);
      });
    }
  }

  const URI = /^(?!\0)[^\s.#]+(\.[^\s.#]+)*$/u;

  /** WAMP v2 over one connection: what Crossbar.io speaks, and a hub, too. Subscriptions have IDs here, and answers. */
  class Wamp2 {
    constructor(send, deliver) {
      this._send = send;
      this._deliver = deliver;
      this._requests = [];  // the topics that were asked for
      this._wanted = new Set();
      this._ids = new Map();  // of the topics asked for; null until there is an answer
      this._topics = new Map();  // by ID
      this._answer = () => {};
    }

    async open({ key, sign, realm }) {
      const identity = key === undefined ? { authmethods: ["anonymous"] } : { authmethods: ["wampcra"], authid: key };
      let [type, first, second] = await this._ask(1, realm, { roles: { subscriber: {} }, ...identity });
      if (type === 4) [type, first, second] = await this._ask(5, await sign(second.challenge), {});
      if (type === 2) return String(first);
      throw new Refusal(`${String(second).split(".").pop()}: ${first?.message ?? "no reason given"}`);
    }

    subscribe(topic) {
      // Crossbar.io would answer by ending the connection, and with it all other subscriptions, again and again.
      if (!URI.test(topic)) return this._refused(topic, "a topic of WAMP v2 has no blank, no # and nothing empty beside a dot");
      this._wanted.add(topic);
      if (this._ids.has(topic)) return;
      this._ids.set(topic, null);
      this._send([32, this._requests.push(topic), {}, topic]);
    }

    unsubscribe(topic) {
      this._wanted.delete(topic);
      const id = this._ids.get(topic);
      if (id == null) return;  // it waits for the answer
      this._ids.delete(topic);
      this._topics.delete(id);
      this._send([34, this._requests.push(topic), id]);
    }

    /** WAMP v2 has no ping; but what cannot be unsubscribed from is answered by an ERROR, by Crossbar.io as by hubs. */
    ping() { this._send([34, this._requests.push(null), NO_SUBSCRIPTION]); }

    receive([type, ...fields]) {
      if (type === 2 || type === 3 || type === 4) this._answer([type, ...fields]);
      else if (type === 6) this._send([6, {}, "wamp.close.goodbye_and_out"]);
      else if (type === 8 && fields[0] === 32) this._refused(this._requests[fields[1] - 1], fields[3]);
      else if (type === 33) this._subscribed(this._requests[fields[0] - 1], fields[1]);
      else if (type === 36) this._event(fields[0], fields[3], fields[4]);
    }

    /** Sends a message and returns a promise of what answers it, until the session is open. */
    _ask(...message) {
      this._send(message);
      return new Promise((resolve) => { this._answer = resolve; });
    }

    _subscribed(topic, id) {
      this._ids.set(topic, id);
      this._topics.set(id, topic);
      if (!this._wanted.has(topic)) this.unsubscribe(topic);
    }

    _refused(topic, error) {
      this._ids.delete(topic);
      console.error(`WebMQ: not subscribed to ${topic}: ${error}`);
    }

    /** One positional argument is the event; WAMP v1 subscribers of a hub are told the same of any others. */
    _event(id, args = [], kwargs = {}) {
      const plain = args.length === 1 && Object.keys(kwargs).length === 0;
      if (this._topics.has(id)) this._deliver(this._topics.get(id), plain ? args[0] : { args, kwargs });
    }
  }

  /** By the WebSocket's subprotocol, in the order of preference. */
  const PROTOCOLS = { wamp: Wamp1, "wamp.2.json": Wamp2 };

  /**
   * A subscriber, connecting from the start.
   *
   * state      "connecting" | "open" | "closed" (it tries again) | "refused" (it does not) | "ended" (by close())
   * detail     why it is closed or refused, in words
   * onstate    called with both after each change
   * sessionId  whom to name in `eligible` or `exclude` of a push; null while not open
   */
  class WebMQ {
    /**
     * url      http(s)://host/…, where pushes go, or ws(s)://host/…/ws; absent: the hub that this script came from
     * options  where the hub wants to know its subscribers: the name of a key, and sign(challenge), which returns the
     *          signature or a promise of it: from a server of yours, or made by WebMQ.signer(secret);
     *          realm, of Crossbar.io, where it is not called realm1;
     *          parse(text), in place of JSON.parse for all messages
     */
    constructor(url, { key, sign, realm = "realm1", parse = JSON.parse } = {}) {
      if ((key === undefined) !== (sign === undefined)) throw new TypeError("key, sign: one without the other");
      if (sign !== undefined && typeof sign !== "function") throw new TypeError("sign: not a function");
      if (typeof parse !== "function") throw new TypeError("parse: not a function");
      this.url = socketUrl(url ?? (scriptUrl ? new URL(".", scriptUrl) : ""));
      this.onstate = null;
      this._identity = { key, sign, realm };
      this._parse = parse;
      this._handlers = new Map();
      this._attempts = 0;
      this._wasOpen = false;
      this._connect();
      const { signal } = this._listening = new AbortController();
      const looked = () => { if (!document.hidden) this._hurry(); };
      globalThis.addEventListener("online", () => this._hurry(), { signal });
      globalThis.document?.addEventListener("visibilitychange", looked, { signal });
    }

    /** Returns what signs the hub's challenges: HMAC-SHA256 by WebCrypto, which https and localhost alone have. */
    static signer(secret) {
      if (typeof secret !== "string" || !secret) throw new TypeError("secret: not a text, or empty");
      if (!globalThis.crypto?.subtle) throw new Error("browsers sign only for pages from https or localhost");
      const bytes = (text) => new TextEncoder().encode(text);
      const key = crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      return async (challenge) => {
        const signature = await crypto.subtle.sign("HMAC", await key, bytes(challenge));
        return btoa(String.fromCharCode(...new Uint8Array(signature)));
      };
    }

    /**
     * Calls handler(event, topic) for each event of the topic from now on. Numbers are JavaScript's: of whole ones,
     * those from 2 ** 53 on may have been rounded. Push such IDs as texts, or give a `parse` that keeps them.
     */
    subscribe(topic, handler) {
      if (typeof topic !== "string") throw new TypeError("topic: not a text");
      if (typeof handler !== "function") throw new TypeError("handler: not a function");
      if (!this._handlers.has(topic)) {
        this._handlers.set(topic, new Set());
        this._protocol?.subscribe(topic);
      }
      this._handlers.get(topic).add(handler);
    }

    /** Calls the handler no more; without one, none of the topic's. */
    unsubscribe(topic, handler) {
      const handlers = this._handlers.get(topic);
      if (!handlers) return;
      if (handler === undefined) handlers.clear();
      else handlers.delete(handler);
      if (handlers.size > 0) return;
      this._handlers.delete(topic);
      this._protocol?.unsubscribe(topic);
    }

    /** Ends it for good. */
    close() { this._end("ended", ""); }

    _connect() {
      const socket = this._socket = new WebSocket(this.url, Object.keys(PROTOCOLS));
      const stillIts = (then) => (value) => { if (this._socket === socket) then(value); };
      let protocol = null;
      socket.onopen = () => {
        const send = (message) => socket.send(JSON.stringify(message));
        protocol = new PROTOCOLS[socket.protocol](send, (topic, event) => this._deliver(topic, event));
        protocol.open(this._identity).then(
          stillIts((sessionId) => this._opened(protocol, sessionId)), stillIts((error) => this._failed(error)));
      };
      socket.onmessage = ({ data }) => {
        if (this.state === "open") this._watch();
        const message = attempt(() => this._parse(data));
        if (Array.isArray(message)) protocol.receive(message);
      };
      socket.onclose = ({ code, reason }) => {
        this._retry(protocol ? `the connection ended (${code}${reason && ` ${reason}`})` : this._unreachable());
      };
      this._after(PATIENCE, () => this._retry(`no welcome by ${new URL(this.url).host} within ${PATIENCE / 1000} s`));
      this._change("connecting", "");
    }

    _opened(protocol, sessionId) {
      this._protocol = protocol;
      this._attempts = 0;
      this._wasOpen = true;
      for (const topic of this._handlers.keys()) protocol.subscribe(topic);
      this._watch();
      this._change("open", "", sessionId);
    }

    /** Waits for a message; when none comes, asks for one: a link may die, and a hub stop, without a word. */
    _watch() { this._after(SILENCE, () => this._ask()); }

    _ask() {
      this._protocol.ping();
      this._after(PATIENCE, () => this._retry("the hub has stopped answering"));
    }

    /** Waits no longer: the network is back, or somebody looks at the page. */
    _hurry() {
      if (this.state === "closed") this._connect();
      else if (this.state === "open") this._ask();
    }

    /** Calls that then, and nothing that was to be called before: in each state there is one thing to wait for. */
    _after(milliseconds, call) {
      clearTimeout(this._timer);
      this._timer = setTimeout(call, milliseconds);
    }

    _failed(error) {
      if (error instanceof Refusal) this._end("refused", error.message);
      else this._retry(`not authenticated: ${error?.message ?? error}`);
    }

    _unreachable() {
      // A browser does not tell a page that the hub's answer was 403.
      const foreign = `, or it lets no page of ${location.origin} subscribe`;
      return `no hub answers at ${new URL(this.url).host}${this._wasOpen ? "" : foreign}`;
    }

    _retry(detail) {
      this._drop();
      // Full jitter: the subscribers of a hub that was restarted do not all come back at once.
      const wait = Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this._attempts++);
      this._after(wait, () => this._connect());
      this._change("closed", detail);
    }

    _end(state, detail) {
      if (this.state === "ended") return;
      clearTimeout(this._timer);
      this._listening.abort();
      this._drop();
      this._change(state, detail);
    }

    /** Lets go of the connection: nothing is heard of it any more. */
    _drop() {
      const socket = this._socket;
      this._socket = this._protocol = null;
      if (!socket) return;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }

    _change(state, detail, sessionId = null) {
      Object.assign(this, { state, detail, sessionId });
      guarded(this.onstate, state, detail);
    }

    _deliver(topic, event) {
      const handlers = this._handlers.get(topic) ?? [];
      for (const handler of [...handlers]) {
        if (handlers.has(handler)) guarded(handler, event, topic);  // or else one before it has unsubscribed it
      }
    }
  }

  /** Calls a function of the page's, if there is one; its exception is the page's affair, and stops nothing here. */
  function guarded(call, ...args) {
    try {
      call?.(...args);
    } catch (error) {
      (globalThis.reportError || console.error)(error);
    }
  }

  function attempt(make) {
    try {
      return make();
    } catch {
      return null;
    }
  }

  /** Returns where a hub takes subscribers, given that or where it takes pushes. */
  function socketUrl(address) {
    const url = address && attempt(() => new URL(address, globalThis.document?.baseURI));
    if (!url || !/^(http|ws)s?:$/.test(url.protocol) || url.username || url.password || url.hash) {
      throw new TypeError("url: not a hub's, http(s)://host/… or ws(s)://host/…, without user and fragment");
    }
    if (url.protocol.startsWith("http")) {
      url.protocol = url.protocol.replace("http", "ws");
      url.pathname = url.pathname.replace(/\/*$/, "").replace(/(\/ws)?$/, "/ws");
    }
    return url.href;
  }

  return WebMQ;
})();
