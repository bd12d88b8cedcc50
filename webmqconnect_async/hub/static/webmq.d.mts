/** The types of webmq.mjs and webmq.cjs. */

/** The state of a connection. A page may be "closed" and "connecting" again and again. */
export type State =
  /** The first attempt, or another one, is under way. */
  | "connecting"
  | "open"
  /** Not connected; it will try again by itself. */
  | "closed"
  /** The broker refuses the page's key or ticket, or that it has none, since the start. It will not try again. */
  | "refused"
  /** After `close()`. */
  | "ended";

/** The state of a subscription. */
export type SubscriptionState =
  /** Not confirmed on this connection, or missed events are still arriving. */
  | "pending"
  | "open"
  /** The broker refuses it. The page asks again after each reconnect. */
  | "refused"
  /** After `unsubscribe()` or `close()`. */
  | "ended";

/** Called with a topic whose events were lost, and with the reason as text. */
export type LostHandler = (topic: string, why: string) => void;

/**
 * Signs a challenge of the broker: returns HMAC-SHA256 in base64, or a promise of it. `extra` has the details of the
 * challenge, such as the salt. If it fails, or returns anything else, the page tries again later.
 */
export type Sign = (challenge: string, extra: Record<string, unknown>) => string | PromiseLike<string>;

/** One handler of one topic, returned by `subscribe`. */
export interface Subscription {
  readonly topic: string;
  readonly state: SubscriptionState;
  /** Resolves when it is "open" for the first time; rejects if it is "refused" or "ended" before. */
  readonly ready: Promise<void>;
  /** Called before the `onlost` of `WebMQ`, if the subscription has been "open" before. */
  onlost: LostHandler | null;
  unsubscribe(): void;
}

export interface SubscribeOptions {
  /** The `onlost` of the subscription. */
  onlost?: LostHandler | null;
  /** How the broker compares topics; the handler gets the topic of each event. Default: "exact". */
  match?: "exact" | "prefix" | "wildcard";
  /** Whether the broker sends the retained event of the topic first, if there is one. Default: false. */
  get_retained?: boolean;
}

/**
 * Returns a ticket, or a promise of it: a JSON Web Token that your server makes for the user. It is called before each
 * connection. If it fails, or returns anything but a string, the page tries again later.
 */
export type Ticket = () => string | PromiseLike<string>;

/** How a page authenticates: by a key, by tickets, or not at all. */
export type Identity =
  | {
      /** The name of the key. */
      key: string;
      /** Asks a server of yours for the signature, or is `WebMQ.signer(secret)`. */
      sign: Sign;
      ticket?: undefined;
    }
  | {
      /** Asks a server of yours for a ticket. */
      ticket: Ticket;
      key?: undefined;
      sign?: undefined;
    }
  | { key?: undefined; sign?: undefined; ticket?: undefined };

export type Options = Identity & {
  /** The realm of Crossbar.io. Default: "realm1". */
  realm?: string;
  /** Parses messages that have an event, instead of `JSON.parse`. If it throws, the event is lost. */
  parse?: (text: string) => unknown;
  /** A class to use instead of the global one, such as that of the package ws, for Node.js before version 22. */
  WebSocket?: new (url: string, protocols: string[]) => unknown;
};

/**
 * A subscriber to a WebMQ hub or Crossbar.io. It reconnects by itself, with backoff, and recovers the events that it has
 * missed from a hub with a history.
 */
export declare class WebMQ {
  /**
   * Starts to connect.
   *
   * @param url http(s)://host/…, where pushes go, or ws(s)://host/…/ws. Default: the hub that serves this script.
   * @throws TypeError if an argument is not valid, or if there is no default for it.
   */
  constructor(url?: string | URL, options?: Options);

  /** The URL of the WebSocket. */
  readonly url: string;
  readonly state: State;
  /** Why the state is "closed" or "refused", as text; otherwise empty. */
  readonly detail: string;
  /** The ID of this page's session, for `eligible` and `exclude` of a push; `null` while the state is not "open". */
  readonly sessionId: string | null;

  /** Called after each change of the state. `reconnected` is true each time that it is "open" again. */
  onstate: ((state: State, detail: string, reconnected: boolean) => void) | null;
  /**
   * Called for each topic whose events were lost, once new ones arrive again: a page that loads its data now misses
   * nothing. Crossbar.io and hubs without a history lose the events of each outage.
   */
  onlost: LostHandler | null;

  /**
   * Calls a handler for each event of a topic from now on. The same handler again is the same subscription.
   *
   * `T` is what the page expects its events to be; nothing checks it. Integers of 2 ** 53 and more may have been
   * rounded: push such IDs as strings, or pass a `parse` that keeps them.
   *
   * @throws TypeError if an argument is not valid.
   */
  subscribe<T = unknown>(
    topic: string,
    handler: (event: T, topic: string) => void,
    options?: SubscribeOptions,
  ): Subscription;

  /** Stops calling a handler; without one, all handlers of the topic. */
  unsubscribe<T = unknown>(topic: string, handler?: (event: T, topic: string) => void): void;

  /** Disconnects for good. */
  close(): void;

  /**
   * Returns a function for the option `sign`, which signs by WebCrypto. Everyone who can read the page can read the secret.
   *
   * @throws Error if there is no WebCrypto: browsers have it only for pages from https and localhost.
   */
  static signer(secret: string): (challenge: string, extra?: Record<string, unknown>) => Promise<string>;
}
