// Events from a WebMQ hub or Crossbar.io in a web page. A classic script that defines one global, WebMQ:
//
//     <script src="http://127.0.0.1:8080/webmq.js"></script>
//     <script>
//       const mq = new WebMQ();  // the hub that serves this script; for another one: new WebMQ("https://…")
//       mq.subscribe("http://example.com/orders", (event, topic) => console.log(topic, event));
//       mq.onstate = (state, detail) => console.log(state, detail);
//     </script>
//
// When the connection is lost, or silent for 40 s, it connects and subscribes again, with backoff. Events that are
// pushed in between are lost: a hub keeps no history. Written for ES2020, for pages and workers, without dependencies.
globalThis.WebMQ = (() => {
  "use strict";

  // Milliseconds.
  const FIRST_WAIT = 500, LONGEST_WAIT = 30000;  // upper bounds of the first wait and of all waits before it reconnects
  const STEADY = 10000;  // the least time that a connection has to be open for the waits to start over
  const CALM = 10000;  // between two waits that are cut short
  const SILENCE = 30000;  // before a ping
  const PATIENCE = 10000;  // for the answer to a ping, and from connecting to open
  const scriptUrl = globalThis.document?.currentScript?.src;

  const PROCEDURES = "http://api.wamp.ws/procedure#", ERRORS = "http://api.wamp.ws/error#";  // of WAMP v1
  const NO_SUBSCRIPTION = 2 ** 53;  // a valid ID in WAMP v2, at the end of the range: no subscription has it

  // The errors that refuse the page's identity: its key, its signature, or that it has none. Any other error may pass:
  // a router or an authenticator is starting, a hub shuts down.
  const IDENTITY = new Set([
    ...["anonymous-auth-forbidden", "invalid-signature", "no-such-authkey"].map((name) => `${ERRORS}${name}`),
    ...[
      "authentication_denied", "authentication_required", "authorization_denied", "authorization_required",
      "no_matching_auth_method", "no_such_principal", "no_such_role",
      "authentication_failed",  // from a hub: an unknown key or a wrong signature
      "no_auth_method", "not_authorized",  // from Crossbar.io, the latter for both of these, too
    ].map((name) => `wamp.error.${name}`),
  ]);

  // The exception: with this text, a proxy of Crossbar.io sends "authentication_failed" while it has no router.
  const NO_ROUTER = "Frontend connection accept failed";

  /** An error that the broker sent. `final` if it refuses the page's identity. */
  class BrokerError extends Error {
    constructor(uri, text) {
      super(`${String(uri).replace(/^.*[#./]/s, "")}: ${text ?? "no reason given"}`);
      this.final = IDENTITY.has(uri) && !String(text).startsWith(NO_ROUTER);
    }
  }

  /** WAMP v1 over one connection. Handlers and reconnecting are the business of WebMQ. */
  class Wamp1 {
    /** send(message) sends a message; deliver(topic, event) takes an event. */
    constructor(send, deliver) {
      this._send = send;
      this._deliver = deliver;
      this._calls = [];
      this._welcome = new Promise((resolve) => { this._welcomed = resolve; });
    }

    /** Authenticates. Resolves to the session ID; rejects with a BrokerError, or with the error of `sign`. */
    async open({ key, sign }) {
      const sessionId = await this._welcome;
      if (key !== undefined) {
        await this._call("auth", await sign(await this._call("authreq", key)));
        return sessionId;
      }
      try {
        await this._call("authreq");
        await this._call("auth", null);  // the hub of 2013 requires it even from anonymous subscribers
      } catch (error) {
        if (!error.message.startsWith("NoSuchRPCEndpoint")) throw error;
      }
      return sessionId;
    }

    subscribe(topic) { this._send([5, topic]); }

    unsubscribe(topic) { this._send([6, topic]); }

    /** Sends a message that will be answered. */
    ping() { this._send([2, "ping", `${PROCEDURES}ping`]); }

    receive([type, first, second, third]) {
      if (type === 0) this._welcomed(first);
      else if (type === 3) this._calls[first]?.resolve(second);
      else if (type === 4) this._calls[first]?.reject(new BrokerError(second, third));
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

  /** WAMP v2 over one connection, for Crossbar.io and hubs. Subscriptions are answered, and have IDs. */
  class Wamp2 {
    /** As for Wamp1; fail(error) takes a BrokerError that ends the session, open or not. */
    constructor(send, deliver, fail) {
      this._send = send;
      this._deliver = deliver;
      this._fail = fail;
      this._requests = [];  // the topic of each request
      this._wanted = new Set();
      this._ids = new Map();  // by topic; null until the request is answered
      this._topics = new Map();  // by ID
      this._answer = () => {};
    }

    async open({ key, sign, realm }) {
      const identity = key === undefined ? { authmethods: ["anonymous"] } : { authmethods: ["wampcra"], authid: key };
      let [type, first, second] = await this._ask(1, realm, { roles: { subscriber: {} }, ...identity });
      if (type === 4 && !sign) throw new BrokerError("wamp.error.authentication_required", "the page has no key");
      while (type === 4) [type, first, second] = await this._ask(5, await sign(second.challenge), {});
      return String(first);
    }

    subscribe(topic) {
      // Crossbar.io ends the connection of a client that sends such a topic, and so all its other subscriptions.
      if (!URI.test(topic)) return this._refused(topic, "not a WAMP v2 URI: it has whitespace, a # or an empty part");
      this._wanted.add(topic);
      if (this._ids.has(topic)) return;
      this._ids.set(topic, null);
      this._send([32, this._requests.push(topic), {}, topic]);
    }

    unsubscribe(topic) {
      this._wanted.delete(topic);
      const id = this._ids.get(topic);
      if (id == null) return;  // _subscribed will call this again
      this._ids.delete(topic);
      this._topics.delete(id);
      this._send([34, this._requests.push(topic), id]);
    }

    /** WAMP v2 has no ping. Crossbar.io and hubs answer an unknown subscription with an ERROR. */
    ping() { this._send([34, this._requests.push(null), NO_SUBSCRIPTION]); }

    receive([type, ...fields]) {
      if (type === 2 || type === 4) this._answer([type, ...fields]);
      else if (type === 3) this._fail(new BrokerError(fields[1], fields[0]?.message));
      else if (type === 6) this._leave(fields[1], fields[0]?.message ?? "the session ended");
      else if (type === 8 && fields[0] === 32) this._refused(this._requests[fields[1] - 1], fields[3]);
      else if (type === 33) this._subscribed(this._requests[fields[0] - 1], fields[1]);
      else if (type === 36) this._event(fields[0], fields[3], fields[4]);
    }

    /** Sends a message while the session is not open. Resolves to the answer, unless that is an ABORT. */
    _ask(...message) {
      this._send(message);
      return new Promise((resolve) => { this._answer = resolve; });
    }

    _leave(reason, text) {
      this._send([6, {}, "wamp.close.goodbye_and_out"]);
      this._fail(new BrokerError(reason, text));
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

    /** One positional argument is the event. Others are delivered as a hub delivers them over WAMP v1. */
    _event(id, args = [], kwargs = {}) {
      const plain = args.length === 1 && Object.keys(kwargs).length === 0;
      if (this._topics.has(id)) this._deliver(this._topics.get(id), plain ? args[0] : { args, kwargs });
    }
  }

  /** By WebSocket subprotocol, in order of preference. */
  const PROTOCOLS = { wamp: Wamp1, "wamp.2.json": Wamp2 };

  /**
   * A subscriber. The constructor starts to connect.
   *
   * state      "connecting" | "open" | "closed" (it will try again) | "refused" (it will not) | "ended" (by close())
   *            Only a broker that refuses the key, or a page without one, makes it "refused", and only before the first
   *            "open". After that a refusal is "closed", too: keys are replaced, and authenticators restarted.
   * detail     the reason for "closed" or "refused", for people
   * onstate    called with state and detail after each change
   * sessionId  what `eligible` and `exclude` of a push name this page by; null while not open
   */
  class WebMQ {
    /**
     * url      http(s)://host/…, where pushes go, or ws(s)://host/…/ws. Default: the hub that serves this script.
     * options  key and sign, for a hub with subscriber keys: the name of the key, and a function of the challenge that
     *          returns the signature or a promise of it. It asks a server of yours, or is WebMQ.signer(secret).
     *          realm, of Crossbar.io. Default: "realm1".
     *          parse(text), instead of JSON.parse for all messages.
     */
    constructor(url, { key, sign, realm = "realm1", parse = JSON.parse } = {}) {
      if ((key === undefined) !== (sign === undefined)) throw new TypeError("key, sign: pass both or neither");
      if (sign !== undefined && typeof sign !== "function") throw new TypeError("sign: not a function");
      if (typeof parse !== "function") throw new TypeError("parse: not a function");
      this.url = socketUrl(url ?? (scriptUrl ? new URL(".", scriptUrl) : ""));
      this.onstate = null;
      this._host = new URL(this.url).host;
      this._identity = { key, sign, realm };
      this._parse = parse;
      this._handlers = new Map();
      this._attempts = 0;  // since a connection was last steady
      this._wait = 0;  // the last one
      this._calmAt = 0;  // when a wait may be cut short again
      this._wasOpen = false;
      this._connect();
      const { signal } = this._listening = new AbortController();
      const looked = () => { if (!document.hidden) this._hurry(); };
      globalThis.addEventListener("online", () => this._hurry(), { signal });
      globalThis.document?.addEventListener("visibilitychange", looked, { signal });
    }

    /** Returns a `sign` function: HMAC-SHA256 by WebCrypto, which only pages from https and localhost have. */
    static signer(secret) {
      if (typeof secret !== "string" || !secret) throw new TypeError("secret: not a string, or empty");
      if (!globalThis.crypto?.subtle) throw new Error("browsers sign only for pages from https or localhost");
      const bytes = (text) => new TextEncoder().encode(text);
      const key = crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      return async (challenge) => {
        const signature = await crypto.subtle.sign("HMAC", await key, bytes(challenge));
        return btoa(String.fromCharCode(...new Uint8Array(signature)));
      };
    }

    /**
     * Calls handler(event, topic) for each event of the topic from now on. Numbers are JavaScript's: integers of
     * 2 ** 53 and more may have been rounded. Push such IDs as strings, or pass a `parse` that keeps them.
     */
    subscribe(topic, handler) {
      if (typeof topic !== "string") throw new TypeError("topic: not a string");
      if (typeof handler !== "function") throw new TypeError("handler: not a function");
      if (!this._handlers.has(topic)) {
        this._handlers.set(topic, new Set());
        this._protocol?.subscribe(topic);
      }
      this._handlers.get(topic).add(handler);
    }

    /** Stops calling the handler; without one, all handlers of the topic. */
    unsubscribe(topic, handler) {
      const handlers = this._handlers.get(topic);
      if (!handlers) return;
      if (handler === undefined) handlers.clear();
      else handlers.delete(handler);
      if (handlers.size > 0) return;
      this._handlers.delete(topic);
      this._protocol?.unsubscribe(topic);
    }

    /** Disconnects for good. */
    close() { this._end("ended", ""); }

    _connect() {
      const socket = this._socket = new WebSocket(this.url, Object.keys(PROTOCOLS));
      const current = (then) => (value) => { if (this._socket === socket) then(value); };
      const failed = current((error) => this._failed(error));
      let protocol = null;
      socket.onopen = () => {
        const Protocol = PROTOCOLS[socket.protocol];
        if (!Protocol) return this._retry(`${this._host} speaks neither ${Object.keys(PROTOCOLS).join(" nor ")}`);
        const send = (message) => socket.send(JSON.stringify(message));
        protocol = new Protocol(send, (topic, event) => this._deliver(topic, event), failed);
        protocol.open(this._identity).then(current((sessionId) => this._opened(protocol, sessionId)), failed);
      };
      socket.onmessage = ({ data }) => {
        if (this.state === "open") this._watch();
        const message = attempt(() => this._parse(data));
        if (Array.isArray(message)) protocol.receive(message);
      };
      socket.onclose = ({ code, reason }) => {
        this._retry(protocol ? `the connection ended (${code}${reason && ` ${reason}`})` : this._unreachable());
      };
      this._after(PATIENCE, () => this._retry(`no welcome by ${this._host} within ${PATIENCE / 1000} s`));
      this._change("connecting", "");
    }

    _opened(protocol, sessionId) {
      this._protocol = protocol;
      this._openedAt = performance.now();
      this._wasOpen = true;
      for (const topic of this._handlers.keys()) protocol.subscribe(topic);
      this._watch();
      this._change("open", "", sessionId);
    }

    /** Waits for a message and then sends a ping: links die, and hubs stop, without closing the connection. */
    _watch() {
      this._pinged = false;
      this._after(SILENCE, () => this._ping());
    }

    _ping() {
      if (this._pinged) return;
      this._pinged = true;
      this._protocol.ping();
      this._after(PATIENCE, () => this._retry("the hub has stopped answering"));
    }

    /**
     * Cuts the wait short, or checks the connection: the network is back, or the page is visible again. Attempts still
     * count, and only one wait in CALM is cut short, as either event may come in floods.
     */
    _hurry() {
      if (this.state === "open") this._ping();
      if (this.state !== "closed") return;
      const now = performance.now(), soonest = Math.max(now, this._calmAt);
      if (soonest >= this._dueAt) return;
      this._calmAt = soonest + CALM;
      if (soonest > now) this._reconnect(soonest - now);
      else this._connect();
    }

    _reconnect(wait) {
      this._dueAt = performance.now() + wait;
      this._after(wait, () => this._connect());
    }

    /** Replaces the pending call: in each state there is one thing to wait for. */
    _after(milliseconds, call) {
      clearTimeout(this._timer);
      this._timer = setTimeout(call, milliseconds);
    }

    /** Takes a BrokerError, or what `sign` has thrown: the server that signs may be back the next time. */
    _failed(error) {
      if (!(error instanceof BrokerError)) this._retry(`not authenticated: ${error?.message ?? error}`);
      else if (error.final && !this._wasOpen) this._end("refused", error.message);
      else this._retry(error.message);
    }

    _unreachable() {
      // Browsers hide a 403 from the page.
      const foreign = `, or it lets no page of ${location.origin} subscribe`;
      return `no hub answers at ${this._host}${this._wasOpen ? "" : foreign}`;
    }

    /**
     * Connects again after a wait. The waits start over after a connection that was open for STEADY, and for as long as
     * the wait before it: a broker that lets pages in and hangs up is called no more often than one that is away.
     */
    _retry(detail) {
      const steady = this.state === "open" && performance.now() - this._openedAt >= Math.max(STEADY, this._wait);
      if (steady) this._attempts = 0;
      this._drop();
      // Full jitter: the subscribers of a restarted hub do not all come back at once.
      this._wait = Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this._attempts++);
      this._reconnect(this._wait);
      this._change("closed", detail);
    }

    _end(state, detail) {
      if (this.state === "ended") return;
      clearTimeout(this._timer);
      this._listening.abort();
      this._drop();
      this._change(state, detail);
    }

    /** Closes the connection and ignores whatever still comes from it. */
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
        if (handlers.has(handler)) guarded(handler, event, topic);  // an earlier one may have unsubscribed it
      }
    }
  }

  /** Calls a function of the page, if there is one. Its exception is reported and stops nothing here. */
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

  /** Returns the WebSocket URL of a hub, given that or the URL for pushes. */
  function socketUrl(address) {
    const url = address && attempt(() => new URL(address, globalThis.document?.baseURI));
    if (!url || !/^(http|ws)s?:$/.test(url.protocol) || url.username || url.password || url.hash) {
      throw new TypeError("url: not http(s)://host/… or ws(s)://host/…, or with a user or fragment");
    }
    if (url.protocol.startsWith("http")) {
      url.protocol = url.protocol.replace("http", "ws");
      url.pathname = url.pathname.replace(/\/*$/, "").replace(/(\/ws)?$/, "/ws");
    }
    return url.href;
  }

  return WebMQ;
})();
