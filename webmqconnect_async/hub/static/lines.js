// The code to copy that pushes to a topic. Topics are quoted, so that any characters in them are safe to copy.

import { visible } from "./texts.js";

const EVENT = '{"id": 17, "state": "paid"}';

/** Returns the Python code of a push; with a key if pushes must be signed. */
export function python(url, topic, signed) {
  const key = signed ? `,
                auth_key="KEY",
                auth_secret="SECRET"` : "";
  return `from webmqconnect_async import Client

client = Client(${pythonString(url)}${key})
client.push(${pythonString(topic)},
            ${EVENT})`;
}

/** Returns the curl command of an unsigned push. */
export function curl(url, topic) {
  const query = new URLSearchParams({ topicuri: topic });
  return `curl -d ${shellWord(EVENT)} \\\n  ${shellWord(`${new URL(url)}?${query}`)}`;
}

/** Returns the command of a signed push, because curl cannot sign. */
export function command(url, topic) {
  if (topic.includes("\0")) return "# No command line can hold the \\u0000 in this topic.";
  const end = topic.startsWith("-") ? "-- " : "";  // ends the options
  return "WEBMQ_AUTH_SECRET=SECRET \\\n  webmqconnect push --key KEY \\\n"
    + `  ${end}${url} \\\n  ${shellWord(topic)} \\\n  ${shellWord(EVENT)}`;
}

/**
 * Returns a Python literal. JSON strings are Python literals, too, except for surrogate pairs: in JSON these are two
 * escapes, of which Python would make two characters.
 */
function pythonString(text) {
  return visible(JSON.stringify(text), (character) => {
    const code = character.codePointAt().toString(16);
    return character.length === 1 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  });
}

/**
 * Returns a word for a shell, in single quotes if possible. With escapes it needs $'…', which bash, zsh and others have,
 * but POSIX only since 2024.
 */
function shellWord(text) {
  const escaped = visible(text.replace(/[\\']/g, "\\$&"), shellEscape);
  return visible(text) === text ? `'${text.replaceAll("'", "'\\''")}'` : `$'${escaped}'`;
}

/** Returns the UTF-8 bytes of a character as octal escapes, which do not depend on the locale. */
function shellEscape(character) {
  return [...new TextEncoder().encode(character)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
