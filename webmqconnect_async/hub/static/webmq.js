// Events from a WebMQ hub or Crossbar.io in a web page. A classic script that defines one global, WebMQ:
//
//     <script src="http://127.0.0.1:8080/webmq.js"></script>
//     <script>
//       const mq = new WebMQ();  // the hub that serves this script; for another one: new WebMQ("https://…")
//       const orders = mq.subscribe("http://example.com/orders", (event, topic) => console.log(topic, event));
//       orders.ready.then(() => console.log("subscribed"), (error) => console.log(error.message));
//       mq.onstate = (state, detail) => console.log(state, detail);
//       mq.onlost = (topic, why) => console.log(`events of ${topic} were lost: ${why}`);
//     </script>
//
// When the connection ends, or is silent for 40 s, the page connects and subscribes again, with backoff, and a hub with
// a history sends the events that it missed. Each event arrives once and in order, or `onlost` is called for its topic.
//
// Written for ES2020, for pages, workers and Node.js, without dependencies.
globalThis.WebMQ = (() => {
  "use strict";

  // Milliseconds.
  const FIRST_WAIT = 500, LONGEST_WAIT = 30000;  // upper bounds of the first wait and of all waits before it reconnects
  const STEADY = 10000;  // the least time that a connection has to be open for the waits to start over
  const CALM = 10000;  // between two waits that are shortened
  const SILENCE = 30000;  // before a ping
  const PATIENCE = 10000;  // for the answer to a ping, and from connecting to open
  const SILENT = "the hub has stopped answering";
  const scriptUrl = globalThis.document?.currentScript?.src;

  const PROCEDURES = "http://api.wamp.ws/procedure#", ERRORS = "http://api.wamp.ws/error#";  // of WAMP v1
  const EVENT_1 = /^\s*\[\s*8\s*,/, EVENT_2 = /^\s*\[\s*36\s*,\s*(\d+)\s*,\s*(\d+)\s*,/;  // the latter with its IDs
  const URI = /^(?!\0)[^\s.#]+(\.[^\s.#]+)*$/u;  // of WAMP v2
  const HISTORY_UNAVAILABLE = "webmq.error.history_unavailable";
  const MOST_FORMER = 16;  // IDs of former sessions that a hub takes
  const NO_SUBSCRIPTION = 2 ** 53;  // a valid ID in WAMP v2, at the end of the range: no subscription has it

  // The errors that refuse the page's identity: its key, its signature, or that it has none. Any other error may be
  // temporary, such as a router that is starting or a hub that shuts down.
  const IDENTITY = new Set([
    ...["anonymous-auth-forbidden", "invalid-signature", "no-such-authkey"].map((name) => `${ERRORS}${name}`),
    ...[
      "authentication_denied", "authentication_required", "authorization_denied", "authorization_required",
      "no_matching_auth_method", "no_such_principal", "no_such_role",
      "authentication_failed",  // from a hub: an unknown key or a wrong signature
      "no_auth_method", "not_authorized",  // from Crossbar.io, the latter for both of these, too
    ].map((name) => `wamp.error.${name}`),
  ]);

  // The exception: a proxy of Crossbar.io sends "authentication_failed" with this text while it has no router.
  const NO_ROUTER = "Frontend connection accept failed";

  /** An error that the broker sent. `final` if it refuses the page's identity. */
  class BrokerError extends Error {
    constructor(uri, text) {
      super(`${String(uri).replace(/^.*[#./]/s, "")}: ${text ?? "no reason given"}`);
      this.final = IDENTITY.has(uri) && !String(text).startsWith(NO_ROUTER);
    }
  }

  /**
   * A handler of a topic: what `subscribe` returns.
   *
   * state   "pending" (not confirmed on this connection, or missed events are still arriving) | "open" | "refused" (by
   *         the broker, which is asked again after each reconnect) | "ended" (by unsubscribe() or close())
   * ready   a promise. Resolves when it is first "open"; rejects with an Error if it is "refused" or "ended" before
   * onlost  called like that of WebMQ, and before it, if the subscription has been "open" before
   */
  class Subscription {
    constructor(topic, handler, unsubscribe) {
      this.topic = topic.name;
      this.onlost = null;
      this.ready = new Promise((...settle) => { [this._resolve, this._reject] = settle; });
      this.ready.catch(() => {});  // not an unhandled rejection in a page that does not use it
      this._topic = topic;
      this._handler = handler;
      this._unsubscribe = unsubscribe;
      this._wasOpen = this._refused = this._ended = false;
    }

    get state() { return this._ended ? "ended" : this._topic.state; }

    unsubscribe() { if (!this._ended) this._unsubscribe(); }

    _open() {
      this._wasOpen = true;
      this._refused = false;
      this._resolve();
    }

    _refuse() {
      this._wasOpen = false;
      this._refused = true;
    }
  }

  /** A topic with subscriptions. It outlives connections, and holds what is needed to recover missed events. */
  class Topic {
    /** onlost(topic, why) is called after those of the subscriptions. */
    constructor(name, onlost) {
      this.name = name;
      this.state = "pending";  // that of its subscriptions
      this.floor = null;  // all events up to this ID have been seen; null if there is no such ID
      this.former = [];  // IDs of the sessions since the topic was last open at the end of one, with that one
      this._lost = null;  // why events were lost, until the page has been told
      this._onlost = onlost;
      this._subscriptions = new Map();  // by handler
    }

    get _all() { return [...this._subscriptions.values()]; }

    add(handler, unsubscribe) {
      const subscription = this._subscriptions.get(handler) ?? new Subscription(this, handler, unsubscribe);
      this._subscriptions.set(handler, subscription);
      if (this.state === "open") subscription._open();
      return subscription;
    }

    /** Removes a handler, or all. Returns whether none is left. */
    remove(handler) {
      for (const each of this._all.filter(({ _handler }) => handler === undefined || _handler === handler)) {
        this._subscriptions.delete(each._handler);
        each._ended = true;
        each._reject(new Error("unsubscribed"));
      }
      return this._subscriptions.size === 0;
    }

    /** The broker has confirmed it, and sent what it could of the missed events. */
    open() {
      const why = this._lost, before = this._all.filter(({ _wasOpen, _refused }) => _wasOpen || _refused);
      this.state = "open";
      this._lost = null;
      for (const each of this._all) each._open();
      if (why !== null) this._tell(before, why);
    }

    /** It will not open: on this connection, if the state is "refused" by the broker, or at all. */
    end(state, error) {
      this.state = state;
      for (const each of this._all) each._reject(error);
    }

    refuse(error) {
      console.error(`WebMQ: not subscribed to ${this.name}: ${error.message}`);
      this.end("refused", error);
      const why = `the broker refuses the topic: ${error.message}`;
      const before = this._all.filter(({ _wasOpen }) => _wasOpen);
      for (const each of this._all) each._refuse();
      if (this.floor === null) this._lost = why;  // if it opens later, the page learns that by `onlost`
      this._tell(before, why);
    }

    _tell(subscriptions, why) {
      for (const each of subscriptions) if (each.state !== "ended") guarded(each.onlost, this.name, why);
      if (subscriptions.length > 0) this._onlost(this.name, why);
    }

    /** Gives up the missed events. */
    lose(why) {
      this._lost = why;
      this.floor = null;
      this.former = [];
    }

    /** The session has ended; the position is that of the history. */
    disconnect(session, position) {
      if (this.state === "open" && position !== null) {
        this.floor = position;
        this.former = [session];
      } else if (this.floor !== null && this.former.push(session) > MOST_FORMER) {
        this.lose(`the connection ended ${MOST_FORMER} times before the missed events had arrived`);
      }
      this.state = "pending";
    }

    deliver(event) {
      for (const each of this._all) {
        if (each.state !== "ended") guarded(each._handler, event, this.name);  // an earlier handler may have ended it
      }
    }
  }

  /** How much of a hub's history has been seen. The IDs of events ascend, over all topics. */
  class History {
    constructor() { this.position = null; }  // the highest ID so far; null if the broker has no history

    /** Takes the details of a WELCOME. Returns why the events since the last connection are lost, or null. */
    resume({ _history: name, _newest: newest }) {
      const same = this.position !== null && name === this._name && newest >= this.position;
      this._name = name;
      this.position = newest ?? null;
      if (same) return null;
      const reason = newest === undefined ? "the broker has no history" : "the hub has restarted";
      return `the connection ended, and ${reason}`;
    }

    /** Takes the newest ID, or that of an event of a topic. Returns whether the event is new to the topic. */
    move(id, topic = { floor: null }) {
      if (this.position === null) return true;
      this.position = Math.max(this.position, id);
      if (topic.floor !== null && id <= topic.floor) return false;
      topic.floor = id;
      return true;
    }
  }

  /** What both protocols have in common: over a connection, topics are subscribed to one after another. */
  class Connection {
    /** send(message) sends a message; parse(text) parses one that has an event. */
    constructor(send, parse) {
      this._send = send;
      this._parse = parse;
      this._waiting = [];
      this._current = null;  // the topic that is being subscribed to
      this._progressAt = 0;
    }

    subscribe(topic) {
      this._waiting.push(topic);
      if (this._current === null) this._next();
    }

    /** Returns for how many milliseconds an answer to SUBSCRIBE, or the next missed event, has been due. */
    get due() { return this._current === null ? 0 : performance.now() - this._progressAt; }

    /** Subscribes to the next topic that the page still wants, and that may be sent to the broker. */
    _next() {
      this._progressAt = performance.now();
      for (;;) {
        const topic = this._current = this._waiting.shift() ?? null;
        if (topic === null || (topic.state === "pending" && this._ask(topic))) return;
      }
    }

    _open() {
      if (this._current.state === "pending") this._current.open();
      this._next();
    }
  }

  /** WAMP v1. Its SUBSCRIBE has no answer, so a call behind it is answered instead. */
  class Wamp1 extends Connection {
    constructor(send, parse) {
      super(send, parse);
      this._calls = [];
      this._topics = new Map();  // by name
      this._welcome = new Promise((resolve) => { this._welcomed = resolve; });
    }

    /** Authenticates. Resolves to [session ID]; rejects with a BrokerError, or with the error of `sign`. */
    async open({ key, sign }) {
      const sessionId = await this._welcome;
      const call = (...args) => new Promise((resolve, reject) => this._call(resolve, reject, ...args));
      if (key !== undefined) {
        await call("auth", await sign(await call("authreq", key)));
        return [sessionId];
      }
      try {
        await call("authreq");
        await call("auth", null);  // the hub of 2013 requires it even from anonymous subscribers
      } catch (error) {
        if (!error.message.startsWith("NoSuchRPCEndpoint")) throw error;
      }
      return [sessionId];
    }

    unsubscribe({ name }) { if (this._topics.delete(name)) this._send([6, name]); }

    /** Sends a message that will be answered. */
    ping() { this._send([2, "ping", `${PROCEDURES}ping`]); }

    receive(text) {
      if (EVENT_1.test(text)) return guarded(() => this._event(this._parse(text)));
      const [type, first, second, third] = arrayOf(text);
      if (type === 0) this._welcomed(first);
      else if (type === 3) this._calls[first]?.resolve(second);
      else if (type === 4) this._calls[first]?.reject(new BrokerError(second, third));
    }

    _ask(topic) {
      this._topics.set(topic.name, topic);
      this._send([5, topic.name]);
      const answered = () => this._open();  // the hub of 2012 answers with an error, which will do
      this._call(answered, answered, "ping");
      return true;
    }

    _event([, name, event]) { this._topics.get(name)?.deliver(event); }

    _call(resolve, reject, procedure, ...args) {
      const id = String(this._calls.push({ resolve, reject }) - 1);
      this._send([2, id, PROCEDURES + procedure, ...args]);
    }
  }

  /** WAMP v2, of Crossbar.io and hubs. Options and details that begin with an underscore are those of hubs alone. */
  class Wamp2 extends Connection {
    /** fail(error) takes a BrokerError that ends the session, open or not. */
    constructor(send, parse, fail, history) {
      super(send, parse);
      this._fail = fail;
      this._history = history;
      this._requests = 0;
      this._asked = null;  // the request ID of the SUBSCRIBE that is not yet answered
      this._topics = new Map();  // by the IDs of the subscriptions
      this._recovering = null;  // the ID of the subscription whose missed events arrive
      this._missed = 0;  // how many are still to come
      this._answer = () => {};
    }

    /** As that of Wamp1, but resolves to [session ID, details of the WELCOME]. */
    async open({ key, sign, realm }) {
      const identity = key === undefined ? { authmethods: ["anonymous"] } : { authmethods: ["wampcra"], authid: key };
      let [type, first, second] = await this._say(1, realm, { roles: { subscriber: {} }, ...identity });
      if (type === 4 && !sign) throw new BrokerError("wamp.error.authentication_required", "the page has no key");
      while (type === 4) [type, first, second] = await this._say(5, await sign(second.challenge), {});
      this._anyTopic = second?._any_topic === true;
      return [String(first), second ?? {}];
    }

    unsubscribe(topic) {
      const [id] = [...this._topics].find(([, each]) => each === topic) ?? [];
      if (this._topics.delete(id)) this._request(34, id);  // if there is no ID yet, _subscribed will call this again
    }

    /** WAMP v2 has no ping. Crossbar.io and hubs answer an unknown subscription with an ERROR. */
    ping() { this._request(34, NO_SUBSCRIPTION); }

    receive(text) {
      const event = EVENT_2.exec(text);
      if (event) return this._event(Number(event[1]), Number(event[2]), text);
      const [type, ...fields] = arrayOf(text);
      if (type === 2 || type === 4) this._answer([type, ...fields]);
      else if (type === 3) this._fail(new BrokerError(fields[1], fields[0]?.message));
      else if (type === 6) this._leave(fields[1], fields[0]?.message ?? "the session ended");
      else if (type === 8 && fields[0] === 34) this._history.move(fields[2]?._newest ?? 0);  // the answer to a ping
      else if (this._asked === null) return;
      else if (type === 8 && fields[0] === 32 && fields[1] === this._asked) this._refused(fields[3], fields[4]?.[0]);
      else if (type === 33 && fields[0] === this._asked) this._subscribed(fields[1], fields[2] ?? {});
    }

    /** Sends a message while the session is not open. Resolves to the answer, unless that is an ABORT. */
    _say(...message) {
      this._send(message);
      return new Promise((resolve) => { this._answer = resolve; });
    }

    _leave(reason, text) {
      this._send([6, {}, "wamp.close.goodbye_and_out"]);
      this._fail(new BrokerError(reason, text));
    }

    /** Sends a message with the next request ID, and returns that. */
    _request(type, ...fields) {
      this._requests += 1;
      this._send([type, this._requests, ...fields]);
      return this._requests;
    }

    _ask(topic) {
      // Crossbar.io ends the connection of a client that sends such a topic, and so all its other subscriptions.
      const sendable = this._anyTopic || URI.test(topic.name);
      const options = topic.floor !== null ? { _after: topic.floor, _former: topic.former }
        : this._history.position !== null ? { _newest: true } : {};
      if (sendable) this._asked = this._request(32, options, topic.name);
      else topic.refuse(new Error("not a WAMP v2 URI: it has whitespace, a # or an empty part"));
      return sendable;
    }

    _subscribed(id, { _missed = 0, _newest = 0 }) {
      [this._asked, this._recovering, this._missed] = [null, id, _missed];
      this._topics.set(id, this._current);
      this._history.move(_newest);
      if (this._current.state === "ended") this.unsubscribe(this._current);
      this._recover();
    }

    _refused(uri, text = "no reason given") {
      const topic = this._current;
      this._asked = null;
      if (topic.state === "pending") {
        if (uri !== HISTORY_UNAVAILABLE || topic.floor === null) topic.refuse(new BrokerError(uri, text));
        else topic.lose(`the connection ended, and the hub cannot send the missed events: ${text}`);
      }
      if (topic.state !== "pending" || !this._ask(topic)) this._next();
    }

    _event(id, publication, text) {
      const topic = this._topics.get(id);
      if (this._history.move(publication, topic) && topic) guarded(() => this._deliver(topic, this._parse(text)));
      if (id !== this._recovering) return;
      this._missed -= 1;
      this._recover();
    }

    /** One positional argument is the event. Others are delivered as a hub delivers them over WAMP v1. */
    _deliver(topic, [, , , , args = [], kwargs = {}]) {
      const plain = args.length === 1 && Object.keys(kwargs).length === 0;
      topic.deliver(plain ? args[0] : { args, kwargs });
    }

    _recover() {
      this._progressAt = performance.now();
      if (this._missed > 0) return;
      this._recovering = null;
      this._open();
    }
  }

  /** By WebSocket subprotocol, in order of preference. */
  const PROTOCOLS = { "wamp.2.json": Wamp2, wamp: Wamp1 };

  /**
   * A subscriber. The constructor starts to connect.
   *
   * state      "connecting" | "open" | "closed" (it will try again) | "refused" (it will not) | "ended" (by close())
   *            Only a broker that refuses the key, or a page without one, makes it "refused", and only before the first
   *            "open". After that a refusal is "closed", too: keys are replaced, and authenticators restarted.
   * detail     the reason for "closed" or "refused", for people
   * onstate    called with state, detail, reconnected after each change. The last is true for each later "open"
   * onlost     called with a topic and a reason when events of that topic were lost, once new ones arrive again: a page
   *            that loads its data now misses nothing. Crossbar.io and hubs without a history lose them in each outage.
   *            Also called when the broker refuses a topic after an outage: the subscription's state is "refused".
   * sessionId  what `eligible` and `exclude` of a push name this page by; null while not open
   */
  class WebMQ {
    /**
     * url      http(s)://host/…, where pushes go, or ws(s)://host/…/ws. Default: the hub that serves this script.
     * options  key and sign, for a hub with subscriber keys: the name of the key, and a function of the challenge that
     *          returns the signature or a promise of it. It asks a server of yours, or is WebMQ.signer(secret).
     *          realm, of Crossbar.io. Default: "realm1".
     *          parse(text), instead of JSON.parse for messages with an event. If it throws, that event is lost.
     */
    constructor(url, { key, sign, realm = "realm1", parse = JSON.parse } = {}) {
      if ((key === undefined) !== (sign === undefined)) throw new TypeError("key, sign: pass both or neither");
      if (sign !== undefined && typeof sign !== "function") throw new TypeError("sign: not a function");
      if (typeof parse !== "function") throw new TypeError("parse: not a function");
      this.url = socketUrl(url ?? (scriptUrl ? new URL(".", scriptUrl) : ""));
      this.onstate = this.onlost = null;
      this._host = new URL(this.url).host;
      this._identity = { key, sign, realm };
      this._parse = parse;
      this._topics = new Map();  // by name
      this._history = new History();
      this._attempts = 0;  // since a connection was last steady
      this._wait = 0;  // the last one
      this._calmAt = 0;  // when a wait may be shortened again
      this._wasOpen = false;
      this._over = null;  // why it will not connect again
      this._connect();
      const { signal } = this._listening = new AbortController();
      const looked = () => { if (!document.hidden) this._hurry(); };
      const restored = ({ persisted }) => { if (persisted) this._hurry(); };  // from the back/forward cache
      globalThis.addEventListener?.("online", () => this._hurry(), { signal });
      globalThis.addEventListener?.("pageshow", restored, { signal });
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
     *
     * Returns a Subscription. The same handler again is the same one, and another handler shares what the broker sends:
     * its `ready` resolves at once if the topic is open, and it gets the events from then on.
     */
    subscribe(topic, handler, { onlost = null } = {}) {
      if (typeof topic !== "string") throw new TypeError("topic: not a string");
      if (typeof handler !== "function") throw new TypeError("handler: not a function");
      if (onlost !== null && typeof onlost !== "function") throw new TypeError("onlost: not a function");
      const lost = (...args) => guarded(this.onlost, ...args);
      const entry = this._topics.get(topic) ?? new Topic(topic, lost);
      const asked = this._topics.has(topic) && entry.state !== "refused";
      this._topics.set(topic, entry);
      const subscription = entry.add(handler, () => this.unsubscribe(topic, handler));
      if (onlost) subscription.onlost = onlost;
      if (this._over) entry.end(this.state, this._over);
      else if (!asked) entry.state = "pending";
      if (!asked) this._protocol?.subscribe(entry);
      return subscription;
    }

    /** Stops calling the handler; without one, all handlers of the topic. */
    unsubscribe(topic, handler) {
      const entry = this._topics.get(topic);
      if (!entry?.remove(handler)) return;
      entry.state = "ended";
      this._topics.delete(topic);
      this._protocol?.unsubscribe(entry);
    }

    /** Disconnects for good. */
    close() { this._end("ended", ""); }

    _connect() {
      const socket = this._socket = new WebSocket(this.url, Object.keys(PROTOCOLS));
      const current = (then) => (value) => { if (this._socket === socket) then(value); };
      const failed = current((error) => this._failed(error));
      let protocol = null;
      socket.onopen = () => {
        const Wamp = PROTOCOLS[socket.protocol];
        if (!Wamp) return this._retry(`${this._host} speaks neither ${Object.keys(PROTOCOLS).join(" nor ")}`);
        const send = (message) => socket.send(JSON.stringify(message));
        protocol = new Wamp(send, this._parse, failed, this._history);
        protocol.open(this._identity).then(current((welcome) => this._opened(protocol, ...welcome)), failed);
      };
      socket.onmessage = ({ data }) => {
        protocol.receive(data);
        if (this._protocol === protocol) this._watch();
      };
      socket.onclose = ({ code, reason }) => {
        this._retry(protocol ? `the connection ended (${code}${reason && ` ${reason}`})` : this._unreachable());
      };
      this._after(PATIENCE, () => this._retry(`no welcome by ${this._host} within ${PATIENCE / 1000} s`));
      this._change("connecting", "");
    }

    _opened(protocol, sessionId, details = {}) {
      const reconnected = this._wasOpen;
      this._protocol = protocol;
      this._openedAt = performance.now();
      this._wasOpen = true;
      const why = this._history.resume(details);
      for (const topic of this._topics.values()) {
        if (why !== null) topic.lose(why);
        protocol.subscribe(topic);
      }
      this._watch();
      this._change("open", "", sessionId, reconnected);
    }

    /** Sends a ping after a silence: a link or a hub may fail without closing the connection. */
    _watch() {
      if (this._protocol.due >= SILENCE + PATIENCE) return this._retry(SILENT);
      this._pinged = false;
      this._after(SILENCE, () => this._ping());
    }

    _ping() {
      if (this._pinged) return;
      this._pinged = true;
      this._protocol.ping();
      this._after(PATIENCE, () => this._retry(SILENT));
    }

    /**
     * Shortens the wait, or checks the connection: the network is back, or the page is visible again. Attempts still
     * count, and only one wait in CALM is shortened, because these events may be frequent.
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

    /** Replaces the pending call. There is one at a time. */
    _after(milliseconds, call) {
      clearTimeout(this._timer);
      this._timer = setTimeout(call, milliseconds);
    }

    /** Takes a BrokerError, or what `sign` has thrown: the signing server may be available at the next attempt. */
    _failed(error) {
      if (!(error instanceof BrokerError)) this._retry(`not authenticated: ${error?.message ?? error}`);
      else if (error.final && !this._wasOpen) this._end("refused", error.message);
      else this._retry(error.message);
    }

    _unreachable() {
      // Browsers hide a 403 from the page.
      const origin = this._wasOpen ? undefined : globalThis.location?.origin;
      return `no hub answers at ${this._host}${origin ? `, or it lets no page of ${origin} subscribe` : ""}`;
    }

    /**
     * Reconnects after a wait. The waits start over after a connection that was open for STEADY, and for as long as the
     * wait before it: a broker that accepts pages and disconnects them is not tried more often than one that is down.
     */
    _retry(detail) {
      const steady = this.state === "open" && performance.now() - this._openedAt >= Math.max(STEADY, this._wait);
      if (steady) this._attempts = 0;
      this._drop();
      // Full jitter: the subscribers of a restarted hub do not all reconnect at once.
      this._wait = Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this._attempts++);
      this._reconnect(this._wait);
      this._change("closed", detail);
    }

    _end(state, detail) {
      if (this.state === "ended") return;
      clearTimeout(this._timer);
      this._listening.abort();
      this._drop();
      this._over = new Error(detail || "closed");
      for (const topic of this._topics.values()) topic.end(state, this._over);
      this._change(state, detail);
    }

    /** Closes the connection, and ignores its further messages. */
    _drop() {
      const socket = this._socket;
      const { position } = this._history;
      if (this._protocol) for (const topic of this._topics.values()) topic.disconnect(Number(this.sessionId), position);
      this._socket = this._protocol = null;
      if (!socket) return;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }

    _change(state, detail, sessionId = null, reconnected = false) {
      Object.assign(this, { state, detail, sessionId });
      guarded(this.onstate, state, detail, reconnected);
    }
  }

  /** Calls a function of the page, if there is one, and reports its exception. */
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

  /** Returns a message as an array, which is empty if the text is not one. */
  function arrayOf(text) {
    const message = attempt(() => JSON.parse(text));
    return Array.isArray(message) ? message : [];
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
