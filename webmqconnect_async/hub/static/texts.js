// Text from outside, such as JSON and topics, which is kept exactly and shown without invisible characters; and the
// messages of the page.

// Control and format characters. Some change the direction of writing: "5\u202e00,1" looks like 51,00.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Parses JSON. A number that JavaScript would round or write differently stays as it is, if there is `JSON.rawJSON`.
 */
export function parse(text) {
  return JSON.rawJSON ? JSON.parse(text, verbatim) : JSON.parse(text);
}

function verbatim(_key, value, { source }) {
  return typeof value === "number" && String(value) !== source ? JSON.rawJSON(source) : value;
}

/** Returns a JSON text without whitespace between its tokens; if it is not JSON, with a space for each whitespace. */
export function compact(text) {
  try {
    return JSON.stringify(parse(text));
  } catch {
    return text.replace(/\s+/g, " ");
  }
}

/** Returns a text with escapes instead of invisible characters: those of JSON, or those that a function returns. */
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

/** Returns how to avoid a refusal: advice, and an option of the hub. Each may be empty. */
export function remedyOf(remedy) {
  return remedy.startsWith("--") ? ["Allow it with", remedy] : [sentence(remedy), ""];
}

function sentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** Returns the message about the result of a push from the page. */
export function resultOf({ topic, receivers, status, reason, remedy }, similar) {
  if (reason !== undefined) {
    return visible(`Refused (${status}): ${reason}. ${remedyOf(remedy).join(" ")}`).trim();
  }
  if (receivers > 0) return `Received by ${counted(receivers, "subscriber")}.`;
  return `Accepted, but no subscriber received it. ${hintOf(similar)}`.trim();
}

/** Returns a question about the spelling of a topic, if a similar one has subscribers. */
export function hintOf(similar) {
  return similar === undefined ? "" : `Did you mean ${visible(similar)}?`;
}

export const NO_CONSOLE = "This hub was started without a console.";
export const NEEDS_TICKET =
  "Subscribers of this hub need a ticket, and this page has none. Use the console, or webmqconnect listen --ticket-file.";
export const TOKEN_REFUSED =
  "The hub does not accept the token of the console. It has a new one after each start: open the new link.";
export const PAGE_REFUSED =
  "The hub does not let this page open the console. Behind a proxy, it needs the Host header that the browser sent.";
