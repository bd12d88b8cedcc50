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
// Written for ES2020, for pages, workers and Node.js, without dependencies. This script is the source of webmq.mjs, a
// module, and of webmq.cjs, for `require`: there, `import { WebMQ } from "http://127.0.0.1:8080/webmq.mjs"`.
globalThis.WebMQ = (() => {
  "use strict";

  // Milliseconds.
  const FIRST_WAIT = 500, LONGEST_WAIT = 30000;  // upper bounds of the first wait and of all waits before it reconnects
  const STEADY = 10000;  // the least time that a connection has to be open for the waits to start over
  const CALM = 10000;  // between two waits that are shortened
  const SILENCE = 30000;  // before a ping
  const PATIENCE = 10000;  // for the reply to a ping, and from connecting to open

  const MOST_FORMER = 16;  // IDs of former sessions that a hub takes
  const SIGNATURE = 44;  // characters of a signature: 32 bytes in base64
  const NO_SUBSCRIPTION = 2 ** 53;  // a valid ID in WAMP v2, at the end of the range: no subscription has it

  const SILENT = "the hub does not answer";
  const now = () => performance.now();
  const scriptUrl = globalThis.document?.currentScript?.src;

  const PROCEDURES = "http://api.wamp.ws/procedure#";  // of WAMP v1
  const CALL = "call";  // the ID of calls in WAMP v1: one at a time
  const EVENT_1 = /^\s*\[\s*8\s*,/;
  // Of WAMP v2: its IDs, and how a hub begins the details of a retained event.
  const EVENT_2 = /^\s*\[\s*36\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*({"retained":true)?/;
  // In no URI of WAMP v2. Control characters are whitespace to Crossbar.io's Python, and it may refuse a NUL.
  const NOT_URI = /[\0-\x20\x85\s#]/;
  const HISTORY_UNAVAILABLE = "webmq.error.history_unavailable";

  // The errors that refuse the page's identity: its key, its signature, or that it has none. Any other error may be
  // temporary, such as a router that is starting or a hub that shuts down.
  const IDENTITY = new RegExp(
    "^(http://api.wamp.ws/error#(anonymous-auth-forbidden|invalid-signature|no-such-authkey)|"
    + "wamp.error.(auth\\w+_(denied|required)|no_\\w*auth_method|no_such_(principal|role)|"
    + "authentication_failed|"  // from a hub: an unknown key or a wrong signature
    + "not_authorized))$",  // from Crossbar.io, for both of these, too
  );

  /** An error that the broker sent. `final` if it refuses the page's identity. */
  class BrokerError extends Error {
    constructor(uri, text) {
      super(`${String(uri).replace(/^.*[#./]/s, "")}: ${text ?? "no reason"}`);
      // The exception: a proxy of Crossbar.io without a router says "Frontend connection accept failed".
      this._final = IDENTITY.test(uri) && !/^Frontend/.test(text);
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
      this.topic = topic._name;
      this.onlost = null;
      this.ready = new Promise((...settle) => { [this._resolve, this._reject] = settle; });
      this.ready.catch(() => {});  // not an unhandled rejection in a page that does not use it
      this._state = () => topic.state;  // not the topic: subscriptions can be serialized, without cycles
      this._handler = handler;
      this._unsubscribe = unsubscribe;
    }

    get state() { return this._ended ? "ended" : this._state(); }

    unsubscribe() { if (!this._ended) this._unsubscribe(); }

    _open() {
      this._wasOpen = true;  // false once it has been refused, undefined before either
      this._resolve();
    }
  }

  /** A topic with subscriptions. It outlives connections, and holds what is needed to recover missed events. */
  class Topic {
    /** onlost(why) is called after those of the subscriptions. */
    constructor(name, match, onlost) {
      this._name = name;
      this._match = match;
      this.state = "pending";  // that of its subscriptions
      this._floor = null;  // all events up to this ID have been seen; null if there is no such ID
      // IDs of the sessions since the topic was last open at the end of one, with that one. Empty: nothing to recover.
      this._sessions = [];
      this._lost = null;  // why events were lost, until that is reported to the page
      this._onlost = onlost;
      this._all = [];  // subscriptions; a new array for each change: handlers come and go during an event
    }

    _add(handler, unsubscribe) {
      let subscription = this._all.find(({ _handler }) => _handler === handler);
      if (!subscription) this._all = [...this._all, subscription = new Subscription(this, handler, unsubscribe)];
      if (this.state === "open") subscription._open();
      return subscription;
    }

    /** Removes a handler, or all. Returns whether none is left. */
    _remove(handler) {
      this._all = this._all.filter((each) => {
        if (handler !== undefined && each._handler !== handler) return true;
        each._ended = true;
        each._reject(new Error("unsubscribed"));
        return false;
      });
      return this._all.length === 0;
    }

    /** The broker has confirmed it, and sent what it could of the missed events. */
    _confirm() {
      const why = this._lost;
      this.state = "open";
      this._lost = null;
      if (why !== null) this._tell(why, ({ _wasOpen }) => _wasOpen !== undefined);
      for (const each of this._all) each._open();
    }

    /** It will not open: on this connection, if the state is "refused" by the broker, or at all. */
    _end(state, error) {
      this.state = state;
      for (const each of this._all) each._reject(error);
    }

    _refuse(why) {
      console.error(`WebMQ: not subscribed to ${this._name}: ${why}`);
      this._end("refused", new Error(why));
      why = `refused: ${why}`;
      if (this._floor === null) this._lost = why;  // if it opens later, the page learns that by `onlost`
      this._tell(why, ({ _wasOpen }) => _wasOpen);
      for (const each of this._all) each._wasOpen = false;
    }

    /** Calls `onlost` of the subscriptions that pass a test, and that of the page. */
    _tell(why, test) {
      const told = this._all.filter(test);
      for (const each of told) if (each.state !== "ended") guarded(each.onlost, this._name, why);
      if (told.length > 0) this._onlost(why);
    }

    /** Gives up the missed events. What was seen is not taken again: a hub may be behind. */
    _lose(why) {
      this._lost = `the connection ended, and ${why}`;
      this._sessions = [];
    }

    /** The session has ended; the position is that of the history. */
    _drop(session, position) {
      if (this.state === "open" && position !== null) {
        this._floor = Math.max(position, this._floor);
        this._sessions = [session];
      } else if (this._sessions[0] && this._sessions.push(session) > MOST_FORMER) {
        this._lose(`the recovery failed ${MOST_FORMER} times`);
      }
      this.state = "pending";
      this._id = null;  // of the subscription on a connection, over WAMP v2
    }

    /** The second argument is the topic of the event, if this one is a pattern. */
    _deliver(event, name = this._name) {
      for (const each of this._all) {
        if (each.state !== "ended") guarded(each._handler, event, name);  // an earlier handler may have ended it
      }
    }
  }

  /** How much of a hub's history has been seen. The IDs of events ascend, over all topics. */
  class History {
    constructor() { this._position = null; }  // the highest ID so far; null if the broker has no history

    /** Takes the details of a WELCOME. Returns why the events since the last connection are lost, or null. */
    _resume(details) {
      const name = details?._history, newest = details?._newest;
      const same = this._position !== null && name === this._name;
      this._name = name;
      this._position = newest ?? null;
      if (same) return null;
      return newest === undefined ? "the broker has no history" : "the hub has restarted";
    }

    /** Takes the newest ID, or that of an event of a topic. Returns whether the event is new to the topic. */
    _move(id, topic = {}) {
      if (this._position === null) return true;
      this._position = Math.max(this._position, id);
      if (id <= topic._floor) return false;  // never, of null
      topic._floor = id;
      return true;
    }
  }

  /** What both protocols have in common: over a connection, topics are subscribed to one after another. */
  class Connection {
    /**
     * send(message) sends a message; parse(text) parses one that has an event; fail(error) takes a BrokerError that
     * ends the session, open or not.
     */
    constructor(send, parse, fail, history) {
      this._send = send;
      this._parse = parse;
      this._fail = fail;
      this._past = history;
      this._topics = new Map();  // that are subscribed to: over WAMP v1 by name, over v2 by the ID of the subscription
      this._waiting = [];
      this._current = null;  // the topic that is being subscribed to
      this._answer = () => {};  // called with the next reply, a message
    }

    /** Sends a message, if there is one. Resolves to the next reply. */
    _say(...message) {
      if (message.length > 0) this._send(message);
      return new Promise((resolve) => { this._answer = resolve; });
    }

    subscribe(topic) {
      this._waiting.push(topic);
      if (this._current === null) this._next();
    }

    /** For how many milliseconds a reply to SUBSCRIBE, or the next missed event, has been due; null if none is. */
    get _due() { return this._current && now() - this._progressAt; }

    /** Subscribes to the next topic that the page still wants, and that may be sent to the broker. */
    _next() {
      this._progressAt = now();
      for (;;) {
        const topic = this._current = this._waiting.shift() ?? null;
        if (topic === null || (topic.state === "pending" && this._ask(topic))) return;
      }
    }

    _open() {
      if (this._current.state === "pending") this._current._confirm();
      this._next();
    }
  }

  /** WAMP v1. Its SUBSCRIBE has no reply, so a call follows it, which has one. */
  class Wamp1 extends Connection {
    /**
     * Authenticates by a function, if there is one; without a key, it returns a ticket. Resolves to [session ID];
     * rejects with a BrokerError, or with the error of `sign`.
     */
    async _join(sign, key) {
      const [, sessionId] = await this._say();
      try {
        const challenge = await this._call("authreq", key);
        // The hub of 2013 requires it even from anonymous subscribers.
        await this._call("auth", sign ? await sign(challenge, attempt(() => JSON.parse(challenge))) : null);
      } catch (error) {
        if (key || !error.message.startsWith("NoSuchRPCEndpoint")) throw error;
      }
      return [sessionId];
    }

    unsubscribe({ _name }) { if (this._topics.delete(_name)) this._send([6, _name]); }

    /** Sends a message that has a reply. */
    _ping(id = "ping") { this._send([2, id, `${PROCEDURES}ping`]); }

    _receive(text) {
      if (EVENT_1.test(text)) {
        return guarded(() => {
          const [, name, event] = this._parse(text);
          this._topics.get(name)?._deliver(event);
        });
      }
      const message = arrayOf(text), [type, id] = message;
      if (type === 0 || id === CALL) this._answer(message);
    }

    _ask(topic) {
      const { _name: name, _match, _retained } = topic;
      if (_match !== "exact" || _retained) return topic._refuse("WAMP v1 has neither match nor get_retained");
      this._topics.set(name, topic);
      this._send([5, name]);
      this._ping(CALL);
      this._answer = () => { if (this._current === topic) this._open(); };  // the hub of 2012 replies with an error
      return true;
    }

    async _call(procedure, ...args) {
      const [type, , result, text] = await this._say(2, CALL, PROCEDURES + procedure, ...args);
      if (type === 4) throw new BrokerError(result, text);
      return result;
    }
  }

  /** WAMP v2, of Crossbar.io and hubs. Options and details that begin with an underscore are those of hubs alone. */
  class Wamp2 extends Connection {
    constructor(...args) {
      super(...args);
      this._requests = 0;
      this._asked = null;  // the request ID of the SUBSCRIBE that has no reply yet
      this._remaining = 0;  // how many missed events of the current topic are still to come
    }

    /** As that of Wamp1, but resolves to [session ID, details of the WELCOME]. */
    async _join(sign, key, realm) {
      const authmethods = [key ? "wampcra" : sign ? "ticket" : "anonymous"];
      let [type, first, second] = await this._say(1, realm, { roles: { subscriber: {} }, authmethods, authid: key });
      if (type === 4 && !sign) throw new BrokerError("wamp.error.authentication_required", "no key");
      while (type === 4) [type, first, second] = await this._say(5, await sign(second.challenge, second), {});
      this._anyTopic = second?._any_topic;
      return [`${first}`, second];
    }

    unsubscribe({ _id }) {
      if (this._topics.delete(_id)) this._request(34, _id);  // if there is no ID yet, _subscribed will call this again
    }

    /** WAMP v2 has no ping. Crossbar.io and hubs reply to an unknown subscription with an ERROR. */
    _ping() { this._request(34, NO_SUBSCRIPTION); }

    _receive(text) {
      const event = EVENT_2.exec(text);
      if (event) return this._event(+event[1], +event[2], event[3], text);
      const message = arrayOf(text), [type, first, second, third, uri, args] = message;
      if (type === 2 || type === 4) this._answer(message);
      else if (type === 8 && first === 32 && second === this._asked) this._refuse(uri, args?.[0]);
      else if (type === 33 && first === this._asked) this._confirm(second, third);
      else if (type === 3 || type === 6) {
        if (type === 6) this._send([6, {}, "wamp.close.goodbye_and_out"]);
        this._fail(new BrokerError(second, first?.message));
      }
      else if (type === 8 && first === 34) this._past._move(third?._newest ?? 0);  // the reply to a ping
    }

    /** Sends a message with the next request ID. */
    _request(type, ...fields) { this._send([type, ++this._requests, ...fields]); }

    _ask(topic) {
      // Crossbar.io ends the connection of a client that sends such a topic, and so all its other subscriptions.
      const { _name: name, _match } = topic, match = _match === "exact" ? undefined : _match;
      if (!this._anyTopic && NOT_URI.test(name)) return topic._refuse("not a URI: whitespace or #");
      const options = topic._sessions[0] ? { match, _after: topic._floor, _former: topic._sessions }
        : { match, get_retained: topic._retained, _newest: this._past._position !== null || undefined };
      this._request(32, options, name);
      this._asked = this._requests;
      return true;
    }

    _confirm(id, { _missed = 0, _newest = 0 } = {}) {
      this._asked = null;
      this._remaining = _missed;
      this._current._id = id;
      this._topics.set(id, this._current);
      this._past._move(_newest);
      if (this._current.state === "ended") this.unsubscribe(this._current);
      this._recover();
    }

    _refuse(uri, text) {
      const topic = this._current;
      this._asked = null;
      if (uri === HISTORY_UNAVAILABLE && topic._sessions[0]) {
        topic._lose(`the history is incomplete: ${text}`);
        this._waiting.unshift(topic);
      } else if (topic.state === "pending") {
        topic._refuse(new BrokerError(uri, text).message);
      }
      this._next();
    }

    /** A retained event has its old ID. */
    _event(id, publication, retained, text) {
      const topic = this._topics.get(id), isNew = retained || this._past._move(publication, topic);
      if (isNew && topic) guarded(() => this._deliver(topic, this._parse(text)));
      if (id !== this._current?._id) return;
      this._remaining -= 1;
      this._recover();
    }

    /** One positional argument is the event. Others are delivered as a hub delivers them over WAMP v1. */
    _deliver(topic, [, , , details, args = [], kwargs = {}]) {
      const plain = args.length === 1 && Object.keys(kwargs).length === 0;
      topic._deliver(plain ? args[0] : { args, kwargs }, details?.topic);
    }

    _recover() {
      this._progressAt = now();
      if (this._remaining <= 0) this._open();
    }
  }

  /** By WebSocket subprotocol, in order of preference. */
  const PROTOCOLS = { "wamp.2.json": Wamp2, wamp: Wamp1 };

  /**
   * A subscriber. The constructor starts to connect.
   *
   * state      "connecting" | "open" | "closed" (it will try again) | "refused" (it will not) | "ended" (by close())
   *            Only a broker that refuses the key or the ticket, or a page without one, makes it "refused", and only
   *            before the first "open". After that a refusal is "closed", too: keys are replaced, and authenticators
   *            restarted. An expired ticket is always "closed".
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
     * options  key and sign, for a broker with subscriber keys: the name of the key, and a function that returns the
     *          signature, or a promise of it. It asks a server of yours, or is WebMQ.signer(secret). Its arguments are
     *          the challenge, a string to sign, and an object: the details of the challenge, such as the salt, or over
     *          WAMP v1 the parsed challenge. If it fails, or returns no 44 characters, the page tries again later.
     *          ticket, instead of key and sign, for a broker with tickets: a function that returns one, or a promise of
     *          it. It is called before each connection. If it fails, or returns no string, the page tries again later.
     *          realm, of Crossbar.io. Default: "realm1".
     *          parse(text), instead of JSON.parse for messages with an event. If it throws, that event is lost.
     *          WebSocket, a class to use instead of the global one, which Node.js has since version 22.
     */
    constructor(
      url, { key, sign, ticket, realm = "realm1", parse = JSON.parse, WebSocket = globalThis.WebSocket } = {},
    ) {
      if (!key !== !sign || (key && ticket)) throw new TypeError("key, sign: both or neither, or ticket");
      check("function", { parse, sign: sign ?? parse, ticket: ticket ?? parse, WebSocket });
      this.url = socketUrl(url ?? (scriptUrl ? new URL(".", scriptUrl) : ""));
      this.onstate = this.onlost = null;
      this._host = new URL(this.url).host;
      const signed = async (...args) => {
        const signature = await sign(...args);
        if (signature?.length === SIGNATURE) return signature;
        throw new Error(`sign returned ${signature?.length ?? 0} characters, not ${SIGNATURE}`);
      };
      // The ticket is the response to each challenge of one connection.
      const ticketed = async () => {
        const text = await ticket();
        check("string", { ticket: text });
        return () => text;
      };
      this._key = key;
      this._sign = sign && signed;
      this._ticket = ticket && ticketed;
      this._realm = realm;
      this._parse = parse;
      this._WebSocket = WebSocket;
      this._topics = new Set();
      this._past = new History();
      this._attempts = 0;  // since a connection was last steady
      this._wait = 0;  // the last one
      this._calmAt = 0;  // when a wait may be shortened again
      this._connect();
      const listeners = [
        [globalThis, "online", () => this._hurry()],
        [globalThis, "pageshow", ({ persisted }) => persisted && this._hurry()],  // from the back/forward cache
        [globalThis.document, "visibilitychange", () => document.hidden || this._hurry()],
      ];
      // Removes them later, too. Safari before 15 would ignore the option `signal`.
      this._listen = (method) => { for (const [target, ...each] of listeners) target?.[method]?.(...each); };
      this._listen("addEventListener");
    }

    /**
     * Returns a `sign` function: HMAC-SHA256 by WebCrypto, which only pages from https and localhost have. If the
     * challenge has a salt, as Crossbar.io can send it, PBKDF2 derives the key from the secret.
     */
    static signer(secret) {
      check("string", { secret: secret || undefined });
      const subtle = globalThis.crypto?.subtle, hash = "SHA-256";
      if (!subtle) throw new Error("signer needs https or localhost");
      const bytes = (text) => new TextEncoder().encode(text);
      const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
      const keyOf = (text, name, use) => subtle.importKey("raw", bytes(text), { name, hash }, false, [use]);
      return async (challenge, extra) => {
        let key = secret;
        if (extra?.salt) {
          const derived = { ...extra, name: "PBKDF2", hash, salt: bytes(extra.salt) };
          key = base64(await subtle.deriveBits(derived, await keyOf(secret, "PBKDF2", "deriveBits"), 8 * extra.keylen));
        }
        return base64(await subtle.sign("HMAC", await keyOf(key, "HMAC", "sign"), bytes(challenge)));
      };
    }

    /**
     * Calls handler(event, topic) for each event of the topic from now on. Numbers are JavaScript's: integers of
     * 2 ** 53 and more may have been rounded. Push such IDs as strings, or pass a `parse` that keeps them.
     *
     * Subscriptions outlive reconnects. Returns a Subscription: to subscribe with the same function again returns the
     * same one, and changes nothing. A new function, such as an arrow function in `onstate`, is one more handler, and
     * gets each event, too. It shares what the broker sends: its `ready` resolves at once if the topic is open, and it
     * gets the events from then on.
     *
     * options  onlost, of the Subscription.
     *          match: "prefix" or "wildcard" where the broker has patterns, as Crossbar.io; the handler gets the topic
     *          of each event. Default: "exact". The same text with another `match` is another subscription.
     *          get_retained: true, to get the retained event of the topic first, if there is one; again after events
     *          were lost, but not after a recovery. A handler that shares an open topic does not get it.
     *          A broker without these refuses the topic: `ready` rejects.
     *
     * Throws an Error once the state is "refused" or "ended".
     */
    subscribe(topic, handler, { onlost, match = "exact", get_retained } = {}) {
      check("string", { topic });
      check("function", { handler, onlost: onlost ?? handler });
      if (!/^(exact|prefix|wildcard)$/.test(match)) throw new TypeError("match: not exact, prefix or wildcard");
      if (this._over) throw new Error(`not subscribed: ${this._over.message}`);
      const known = [...this._topics].find(({ _name, _match }) => _name === topic && _match === match);
      const entry = known ?? new Topic(topic, match, (why) => { if (!this._over) guarded(this.onlost, topic, why); });
      this._topics.add(entry);
      if (get_retained) entry._retained = true;
      const subscription = entry._add(handler, () => this._remove(entry, handler));
      if (onlost) subscription.onlost = onlost;
      if (!known || known.state === "refused") {
        entry.state = "pending";
        this._protocol?.subscribe(entry);
      }
      return subscription;
    }

    /** Stops calling the handler for a topic, or pattern; without a handler, all of them. */
    unsubscribe(topic, handler) {
      for (const each of this._topics) if (each._name === topic) this._remove(each, handler);
    }

    /** Disconnects for good. */
    close() { this._end("ended", ""); }

    _remove(topic, handler) {
      if (!topic._remove(handler)) return;
      topic.state = "ended";
      this._topics.delete(topic);
      this._protocol?.unsubscribe(topic);
    }

    _connect() {
      let protocol = null, socket = this._socket = { close() {} };  // until there is a ticket
      const current = (then) => (value) => { if (this._socket === socket) then(value); };
      const failed = current((error) => this._failed(error));
      const open = (sign) => {
        const protocols = this._ticket ? ["wamp.2.json"] : Object.keys(PROTOCOLS);  // WAMP v1 has no tickets
        socket = this._socket = new this._WebSocket(this.url, protocols);
        socket.onopen = current(() => {
          const Wamp = PROTOCOLS[socket.protocol];
          if (!Wamp) return this._retry(`${this._host} does not speak WAMP`);
          // The function returns each value itself, not the result of the Array.prototype.toJSON of an old library.
          const send = (message) => socket.send(JSON.stringify(message, function (key) { return this[key]; }));
          protocol = new Wamp(send, this._parse, failed, this._past);
          const joined = current((welcome) => this._open(protocol, ...welcome));
          protocol._join(sign, this._key, this._realm).then(joined, failed);
        });
        socket.onmessage = current(({ data }) => {
          protocol._receive(data);
          if (this._protocol === protocol) this._watch();
        });
        // Undici, of Node.js 20, fires only "error" if the handshake fails. Elsewhere "error" comes before a "close"
        // with 1006. They stay for good: the package ws throws errors that nobody handles.
        socket.onclose = socket.onerror = current(({ code = 1006, reason = "" }) => {
          if (protocol) return this._retry(`the connection ended (${code}${reason && ` ${reason}`})`);
          const origin = !this._wasOpen && globalThis.location?.origin;  // browsers hide a 403 from the page
          const refused = origin ? `, or it does not allow pages of ${origin} (see its log)` : "";
          this._retry(`no hub answers at ${this._host}${refused}`);
        });
      };
      if (this._ticket) this._ticket().then(current(open)).catch(failed);
      else open(this._sign);
      this._later(PATIENCE, () => this._retry(`no ${socket.url ? `welcome by ${this._host}` : "ticket"} within 10 s`));
      this._change("connecting", "");
    }

    _open(protocol, sessionId, details) {
      const reconnected = this._wasOpen;
      this._protocol = protocol;
      this._openedAt = now();
      this._wasOpen = true;
      const why = this._past._resume(details);
      for (const topic of this._topics) {
        if (why !== null) {
          topic._lose(why);
          topic._floor = null;
        }
        protocol.subscribe(topic);
      }
      this._watch();
      this._change("open", "", sessionId, reconnected);
    }

    /** Sends a ping after a silence: a link or a hub may fail without closing the connection. */
    _watch() {
      if (this._protocol._due >= SILENCE + PATIENCE) return this._retry(SILENT);
      this._pinged = false;
      this._later(SILENCE, () => this._ping());
    }

    _ping() {
      if (this._pinged) return;
      this._pinged = true;
      this._protocol._ping();
      this._later(PATIENCE, () => this._retry(SILENT));
    }

    /**
     * Shortens the wait, or checks the connection: the network is back, or the page is visible again. Attempts still
     * count, and only one wait in CALM is shortened, because these events may be frequent.
     */
    _hurry() {
      if (this.state === "open") this._ping();
      if (this.state !== "closed") return;
      const time = now(), soonest = Math.max(time, this._calmAt);
      if (soonest >= this._dueAt) return;
      this._calmAt = soonest + CALM;
      if (soonest > time) this._reconnect(soonest - time);
      else this._connect();
    }

    _reconnect(wait) {
      this._dueAt = now() + wait;
      this._later(wait, () => this._connect());
    }

    /** Replaces the pending call. There is one at a time. */
    _later(milliseconds, call) {
      clearTimeout(this._timer);
      this._timer = setTimeout(call, milliseconds);
    }

    /** Takes a BrokerError, or what `sign` has thrown: the signing server may be available at the next attempt. */
    _failed(error) {
      if (!(error instanceof BrokerError)) this._retry(`not authenticated: ${error?.message ?? error}`);
      else if (error._final && !this._wasOpen) this._end("refused", error.message);
      else this._retry(error.message);
    }

    /**
     * Reconnects after a wait. The waits start over after a connection that was open for STEADY, and for as long as the
     * wait before it: a broker that accepts pages and disconnects them is not tried more often than one that is down.
     */
    _retry(detail) {
      const steady = this.state === "open" && now() - this._openedAt >= Math.max(STEADY, this._wait);
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
      this._listen("removeEventListener");
      this._drop();
      this._over = new Error(detail || "closed");  // why it will not connect again
      for (const topic of this._topics) topic._end(state, this._over);
      this._change(state, detail);
    }

    /** Closes the connection, and ignores its further messages. */
    _drop() {
      if (this._protocol) for (const topic of this._topics) topic._drop(+this.sessionId, this._past._position);
      const socket = this._socket;
      this._socket = this._protocol = null;
      socket?.close();
    }

    _change(state, detail, sessionId = null, reconnected = false) {
      this.state = state;
      this.detail = detail;
      this.sessionId = sessionId;
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

  function check(type, named) {
    for (const name in named) if (typeof named[name] !== type) throw new TypeError(`${name}: not a ${type}`);
  }

  function attempt(make) {
    try {
      return make();
    } catch {
      return null;
    }
  }

  /** Returns a message as an array, which is empty if the text is not one. */
  const arrayOf = (text) => attempt(() => [...JSON.parse(text)]) ?? [];

  /** Returns the WebSocket URL of a hub, given that or the URL for pushes. */
  function socketUrl(address) {
    const url = address && attempt(() => new URL(address, globalThis.document?.baseURI));
    if (!/^(http|ws)s?:\/\/[^@/]*\/[^#]*$/.test(url?.href)) {
      throw new TypeError("url: not http(s) or ws(s) without user and fragment");
    }
    if (url.protocol.startsWith("http")) {
      url.protocol = url.protocol.replace("http", "ws");
      url.pathname = url.pathname.replace(/(\/ws)?\/*$/, "/ws");
    }
    return url.href;
  }

  return WebMQ;
})();
