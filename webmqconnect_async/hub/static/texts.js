// Text from others, JSON and topics, kept exactly and shown without hidden characters; and the page's own sentences.

// Controls, and formats such as those that change the direction of writing: "5\u202e00,1" looks like 51,00.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Parses JSON. A number that JavaScript would round or write differently stays as it is, where the browser can. */
export function parse(text) {
  return JSON.rawJSON ? JSON.parse(text, verbatim) : JSON.parse(text);
}

function verbatim(_key, value, { source }) {
  return typeof value === "number" && String(value) !== source ? JSON.rawJSON(source) : value;
}

/** Returns a JSON text without whitespace around its values; a text that is not JSON, with less of it. */
export function compact(text) {
  try {
    return JSON.stringify(parse(text));
  } catch {
    return text.replace(/\s+/g, " ");
  }
}

/** Returns a text with escapes, JSON's or those of a function, in place of characters that cannot be seen. */
export function visible(text, escape = jsonEscape) {
  return text.replace(UNSEEN, escape);
}

function jsonEscape(character) {
  return character.split("").map((unit) => `\\u${unit.charCodeAt().toString(16).padStart(4, "0")}`).join("");
}

/** Returns a number and a noun. */
export function counted(count, noun) {
  return `${new Intl.NumberFormat("en").format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

// What helps against refusals for which no option of the hub does.
const ADVICE = [
  [/application key|signature key not valid/, "Sign with the key that the hub was started with: --key."],
  [/signature/, "The secret differs from the hub's, or something was changed after signing. Try: webmqconnect explain."],
  [/signed pushes only|signed request required/, "Sign the push: pass auth_key and auth_secret to the client."],
  [/timestamp expired|too old timestamp/, "Set the clock of the machine that pushes."],
  [/wrong secret|invalid-signature|authentication/, "The key or the secret is not the one of --subscriber-key."],
];

/** Returns what somebody can do about a refusal: the hub's own remedy, or advice. May be empty. */
export function remedyOf(reason, remedy) {
  if (remedy.startsWith("--")) return `Allow it: webmqconnect hub ${remedy}`;
  return remedy || (ADVICE.find(([pattern]) => pattern.test(reason))?.[1] ?? "");
}

/** Returns what became of a push from the page. */
export function resultOf({ topic, receivers, status, reason, remedy }, similar) {
  if (reason !== undefined) return `Refused (${status}): ${visible(reason)}. ${remedyOf(reason, remedy)}`.trim();
  if (receivers > 0) return `Received by ${counted(receivers, "subscriber")}.`;
  return `Accepted, but no subscriber received it. ${hintOf(similar)}`.trim();
}

/** Returns a question about the spelling of a topic, if a similar one has subscribers. */
export function hintOf(similar) {
  return similar === undefined ? "" : `Did you mean ${visible(similar)}?`;
}

export const AWAY = "No connection to the hub. Trying again.";
export const TOKEN_REFUSED = "The hub does not accept this token. It has a new one after each start: use its new link.";
export const PAGE_REFUSED = "The hub did not let the page open the console. Trying again.";
