// Texts of others, JSON and topics: kept as they were pushed, and shown so that nothing in them is unseen.

// Controls, and formats such as what turns the direction of writing around: "5\u202e00,1" looks like 51,00.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Parses JSON. A number that JavaScript would round, or write in another way, stays as it is where the browser can. */
export function parse(text) {
  return JSON.rawJSON ? JSON.parse(text, verbatim) : JSON.parse(text);
}

function verbatim(_key, value, { source }) {
  return typeof value === "number" && String(value) !== source ? JSON.rawJSON(source) : value;
}

/** Returns a text with escapes, JSON's or those of a function, in place of characters that cannot be seen. */
export function visible(text, escape = jsonEscape) {
  return text.replace(UNSEEN, escape);
}

function jsonEscape(character) {
  return character.split("").map((unit) => `\\u${unit.charCodeAt().toString(16).padStart(4, "0")}`).join("");
}
