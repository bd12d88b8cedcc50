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
  const CALM = 10000;  // between two waits that are cut short
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

  /**
   * A handler of a topic; what `subscribe` returns.
   *
   * state   "pending" (not confirmed on this connection, or missed events are still arriving) | "open" | "refused" (by
   *         the broker, which is asked again after each reconnect) | "ended" (by unsubscribe() or close())
   * ready   a promise: resolves when the state is first "open"; rejects with an Error if it is "refused" or "ended" before
   * onlost  called as that of WebMQ, before it, if the subscription was open before
   */
  class Subscription {
    constructor(topic, handler, unsubscribe) {
      this.topic = topic.name;
      this.ready = new Promise((...settle) => { [this._resolve, this._reject] = settle; });
      this.ready.catch(() => {});  // it is no unhandled rejection if the page does not use it
      this.onlost = null;
      this._topic = topic;
      this._handler = handler;
      this._unsubscribe = unsubscribe;
      this._confirmed = this._ended = false;
    }

    get state() { return this._ended ? "ended" : this._topic.state; }

    unsubscribe() { if (!this._ended) this._unsubscribe(); }
  }

  /**
   * A topic with subscriptions of the page. It outlives connections, and holds what is needed to recover missed events.
   *
   * state   as that of its subscriptions: it is "open" once the broker has confirmed it and all missed events are here
   * floor   all events of the topic up to this ID have been seen; null if not known
   * former  the IDs of the sessions since the topic was last open at the end of one
   * lost    why events were lost, until the page is told; null if none were
   */
  class Topic {
    /** onlost(topic, why) is called after those of the subscriptions. */
    constructor(name, onlost) {
      this.name = name;
      this.subscriptions = new Map();  // by handler
      this.state = "pending";
      this.floor = null;
      this.former = [];
      this.lost = null;
      this._confirmed = false;
      this._onlost = onlost;
    }

    add(handler, unsubscribe) {
      const subscription = this.subscriptions.get(handler) ?? new Subscription(this, handler, unsubscribe);
      this.subscriptions.set(handler, subscription);
      if (this.state === "open") this._confirm(subscription);
      return subscription;
    }

    /** Removes a handler, or all. */
    remove(handler) {
      for (const each of [...this.subscriptions.values()]) {
        if (handler !== undefined && each._handler !== handler) continue;
        this.subscriptions.delete(each._handler);
        each._ended = true;
        each._reject(new Error("unsubscribed"));
      }
    }

    /** Takes note that the broker has confirmed it, and that all missed events are here but those that are lost. */
    open() {
      const why = this.lost;
      const all = [...this.subscriptions.values()], losers = all.filter((each) => each._confirmed);
      this.state = "open";
      this.lost = null;
      this._confirmed = true;
      all.forEach((each) => this._confirm(each));
      if (why === null) return;
      for (const each of losers) if (!each._ended) guarded(each.onlost, this.name, why);
      this._onlost(this.name, why);
    }

    _confirm(subscription) {
      subscription._confirmed = true;
      subscription._resolve();
    }

    /** Takes note that there will be no connection any more. */
    end(state, reason) {
      this.state = state;
      for (const each of this.subscriptions.values()) each._reject(new Error(reason || "closed"));
    }

    refuse(error) {
      this.state = "refused";
      console.error(`WebMQ: not subscribed to ${this.name}: ${error.message}`);
      for (const each of this.subscriptions.values()) each._reject(error);
    }

    /** Gives up what it missed. A topic that was never confirmed has missed nothing. */
    lose(why) {
      if (this._confirmed) this.lost = why;
      this.floor = null;
      this.former = [];
    }

    /** Ends a session, in which all IDs up to the position were given; it is null without a history. */
    cut(session, position) {
      if (this.state === "open" && position !== null) {
        this.floor = Math.max(this.floor, position);
        this.former = [session];
      } else if (this.floor !== null) {
        this.former.push(session);
        if (this.former.length > MOST_FORMER) this.lose(`the connection ended ${MOST_FORMER} times in a recovery`);
      }
      this.state = "pending";
    }

    deliver(event) {
      for (const each of [...this.subscriptions.values()]) {
        if (!each._ended) guarded(each._handler, event, this.name);  // an earlier handler may have ended it
      }
    }
  }

  /** The history of a hub. The IDs of its events ascend, so the highest one seen says what a page has seen. */
  class History {
    constructor() {
      this.position = null;  // the highest ID so far; null while the broker has no history
      this._id = undefined;
    }

    /** Takes the details of a WELCOME. Returns why the events since the last session are lost; null if they are not. */
    resume({ _history: id, _newest: newest } = {}) {
      const former = this.position;
      const same = id === this._id;
      this._id = id;
      this.position = Number.isInteger(newest) ? newest : null;
      if (this.position === null) return "the connection ended, and the broker does not send missed events";
      return same && former !== null && newest >= former ? null : "the connection ended, and the hub has a new history";
    }

    /** Takes an ID: all events up to it have been sent to this connection, as far as it was subscribed to them. */
    move(id) {
      if (this.position !== null) this.position = Math.max(this.position, id);
    }

    /** Takes the ID of an event. Returns whether the event is new to the topic; without a history each one is. */
    take(topic, id) {
      if (this.position === null) return true;
      this.move(id);
      if (topic.floor !== null && id <= topic.floor) return false;
      topic.floor = id;
      return true;
    }
  }

  /** What both protocols have in common: over one connection, topics are subscribed to one after another. */
  class Protocol {
    /** send(message) sends a message; parse(text) parses one with an event. */
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

    /** Returns for how long it has waited for an answer to SUBSCRIBE, or for a missed event. */
    waited() { return this._current === null ? 0 : performance.now() - this._progressAt; }

    _next() {
      this._current = null;
      while (this._current === null && this._waiting.length > 0) {
        const topic = this._waiting.shift();
        if (topic.state !== "pending") continue;
        const objection = this._objection(topic);
        if (objection) topic.refuse(new Error(objection));
        else this._begin(topic);
      }
    }

    /** Returns why a topic is not sent to the broker. */
    _objection() { return ""; }

    _begin(topic) {
      this._current = topic;
      this._progressAt = performance.now();
      this._request(topic);
    }

    _open(topic) {
      if (topic.state === "pending") topic.open();
      this._next();
    }

    /** Returns what `take` finds in a message with an event. A message that cannot be read is reported. */
    _read(text, take) {
      try {
        return take(this._parse(text));
      } catch (error) {
        report(error);
        return null;
      }
    }
  }

  /** WAMP v1. Its SUBSCRIBE has no answer, so the answer to a call behind it shows that the broker has received it. */
  class Wamp1 extends Protocol {
    constructor(send, parse) {
      super(send, parse);
      this._calls = [];
      this._topics = new Map();  // by name
      this._welcome = new Promise((resolve) => { this._welcomed = resolve; });
    }

    /** Authenticates. Resolves to the session ID; rejects with a BrokerError, or with the error of `sign`. */
    async open({ key, sign }) {
      const session = await this._welcome;
      if (key !== undefined) {
        await this._ask("auth", await sign(await this._ask("authreq", key)));
        return { session };
      }
      try {
        await this._ask("authreq");
        await this._ask("auth", null);  // the hub of 2013 requires it even from anonymous subscribers
      } catch (error) {
        if (!error.message.startsWith("NoSuchRPCEndpoint")) throw error;
      }
      return { session };
    }

    unsubscribe(topic) {
      this._topics.delete(topic.name);
      this._send([6, topic.name]);
    }

    /** Sends a message that will be answered. */
    ping() { this._send([2, "ping", `${PROCEDURES}ping`]); }

    receive(text) {
      if (EVENT_1.test(text)) return this._event(text);
      const [type, first, second, third] = listed(text);
      if (type === 0) this._welcomed(first);
      else if (type === 3) this._calls[first]?.resolve(second);
      else if (type === 4) this._calls[first]?.reject(new BrokerError(second, third));
    }

    _request(topic) {
      this._topics.set(topic.name, topic);
      this._send([5, topic.name]);
      const answered = () => this._open(topic);  // an error is an answer, too: the hub of 2012 has no such procedure
      this._call(answered, answered, "ping");
    }

    _event(text) {
      const message = this._read(text, ([, name, event]) => ({ name, event }));
      if (message) this._topics.get(message.name)?.deliver(message.event);
    }

    _ask(procedure, ...args) {
      return new Promise((resolve, reject) => this._call(resolve, reject, procedure, ...args));
    }

    _call(resolve, reject, procedure, ...args) {
      const id = String(this._calls.push({ resolve, reject }) - 1);
      this._send([2, id, PROCEDURES + procedure, ...args]);
    }
  }

  /** WAMP v2 over one connection, for Crossbar.io and hubs. Subscriptions are answered, and have IDs. */
  class Wamp2 extends Protocol {
    /** As for Protocol; fail(error) takes a BrokerError that ends the session, open or not. */
    constructor(send, parse, history, fail) {
      super(send, parse);
      this._history = history;
      this._fail = fail;
      this._requests = 0;
      this._anyTopic = false;
      this._topics = new Map();  // by the IDs of their subscriptions
      this._asked = null;  // the SUBSCRIBE that has no answer yet
      this._recovering = null;  // the ID of the subscription whose missed events are arriving
      this._missed = 0;  // how many of them are still to arrive
      this._answer = () => {};
    }

    /** As of Wamp1; also resolves to the details of the WELCOME. */
    async open({ key, sign, realm }) {
      const identity = key === undefined ? { authmethods: ["anonymous"] } : { authmethods: ["wampcra"], authid: key };
      let [type, first, second] = await this._say(1, realm, { roles: { subscriber: {} }, ...identity });
      if (type === 4 && !sign) throw new BrokerError("wamp.error.authentication_required", "the page has no key");
      while (type === 4) [type, first, second] = await this._say(5, await sign(second.challenge), {});
      this._anyTopic = second?._any_topic === true;
      return { session: String(first), details: second ?? {} };
    }

    unsubscribe(topic) {
      for (const [id, each] of this._topics) {
        if (each !== topic) continue;
        this._topics.delete(id);
        this._number(34, id);
      }  // without an ID yet, _subscribed will call this again
    }

    /** WAMP v2 has no ping. Crossbar.io and hubs answer an unknown subscription with an ERROR. */
    ping() { this._number(34, NO_SUBSCRIPTION); }

    receive(text) {
      const event = EVENT_2.exec(text);
      if (event) return this._event(Number(event[1]), Number(event[2]), text);
      const [type, ...fields] = listed(text);
      if (type === 2 || type === 4) this._answer([type, ...fields]);
      else if (type === 3) this._fail(new BrokerError(fields[1], fields[0]?.message));
      else if (type === 6) this._leave(fields[1], fields[0]?.message ?? "the session ended");
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
    _number(type, ...fields) {
      this._requests += 1;
      this._send([type, this._requests, ...fields]);
      return this._requests;
    }

    _objection({ name }) {
      // Crossbar.io ends the connection of a client that sends such a topic, and so all its other subscriptions.
      return this._anyTopic || URI.test(name) ? "" : "not a WAMP v2 URI: it has whitespace, a # or an empty part";
    }

    /** Options that begin with an underscore are an extension of WebMQ hubs, which send them in their WELCOME, too. */
    _request({ name, floor, former }) {
      const plain = this._history.position === null ? {} : { _newest: true };
      this._asked = this._number(32, floor === null ? plain : { _after: floor, _former: former }, name);
    }

    _subscribed(id, { _missed: missed = 0, _newest: newest = 0 }) {
      const topic = this._current;
      [this._asked, this._recovering, this._missed] = [null, id, missed];
      this._history.move(newest);
      this._topics.set(id, topic);
      if (topic.state === "ended") this.unsubscribe(topic);
      if (missed === 0) this._recovered();
    }

    _refused(uri, text) {
      const topic = this._current;
      this._asked = null;
      if (topic.state === "pending" && topic.floor !== null && uri === HISTORY_UNAVAILABLE) {
        topic.lose(`the hub cannot send the missed events: ${text ?? "no reason given"}`);
        return this._begin(topic);
      }
      if (topic.state === "pending") topic.refuse(new BrokerError(uri, text));
      this._next();
    }

    _event(id, publication, text) {
      const topic = this._topics.get(id);
      if (topic && this._history.take(topic, publication)) {
        const message = this._read(text, ([, , , , args = [], kwargs = {}]) => ({ event: eventOf(args, kwargs) }));
        if (message) topic.deliver(message.event);
      }
      if (id !== this._recovering) return;
      this._progressAt = performance.now();
      this._missed -= 1;
      if (this._missed === 0) this._recovered();
    }

    _recovered() {
      this._recovering = null;
      this._open(this._current);
    }
  }

  /** One positional argument is the event. Others are delivered as a hub delivers them over WAMP v1. */
  function eventOf(args, kwargs) {
    return args.length === 1 && Object.keys(kwargs).length === 0 ? args[0] : { args, kwargs };
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
   * onstate    called with state, detail and reconnected after each change; the last is true for any "open" but the first
   * onlost     called with a topic and a reason when events of that topic were lost, once new ones arrive again: a page
   *            that loads its data now misses nothing. Crossbar.io and hubs without a history lose them in each outage.
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
      this._calmAt = 0;  // when a wait may be cut short again
      this._wasOpen = this._over = false;
      this._connect();
      const { signal } = this._listening = new AbortController();
      const looked = () => { if (!document.hidden) this._hurry(); };
      for (const event of ["online", "pageshow"]) globalThis.addEventListener?.(event, () => this._hurry(), { signal });
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
      if (this._over) entry.end(this.state, this.detail);
      else if (!asked) entry.state = "pending";
      if (!asked) this._protocol?.subscribe(entry);
      return subscription;
    }

    /** Stops calling the handler; without one, all handlers of the topic. */
    unsubscribe(topic, handler) {
      const entry = this._topics.get(topic);
      if (!entry) return;
      entry.remove(handler);
      if (entry.subscriptions.size > 0) return;
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
        protocol = new Wamp(send, this._parse, this._history, failed);
        protocol.open(this._identity).then(current((welcome) => this._opened(protocol, welcome)), failed);
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

    _opened(protocol, { session, details }) {
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
      this._change("open", "", session, reconnected);
    }

    /** Waits for a message and then sends a ping: links die, and hubs stop, without closing the connection. */
    _watch() {
      if (this._protocol.waited() >= SILENCE + PATIENCE) return this._retry(SILENT);
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
      const origin = this._wasOpen ? undefined : globalThis.location?.origin;
      return `no hub answers at ${this._host}${origin ? `, or it lets no page of ${origin} subscribe` : ""}`;
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
      this._over = true;
      for (const topic of this._topics.values()) topic.end(state, detail);
      this._change(state, detail);
    }

    /** Closes the connection and ignores whatever still comes from it. */
    _drop() {
      const socket = this._socket;
      const { position } = this._history;
      if (this._protocol) for (const topic of this._topics.values()) topic.cut(Number(this.sessionId), position);
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

  /** Calls a function of the page, if there is one. Its exception is reported and stops nothing here. */
  function guarded(call, ...args) {
    try {
      call?.(...args);
    } catch (error) {
      report(error);
    }
  }

  function report(error) { (globalThis.reportError || console.error)(error); }

  function attempt(make) {
    try {
      return make();
    } catch {
      return null;
    }
  }

  /** Returns a message as an array, which is empty if the text is not one. */
  function listed(text) {
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
