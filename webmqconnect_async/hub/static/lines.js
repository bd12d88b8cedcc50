// The lines that push to a topic, for whoever copies them: whatever is in the topic, they name this one.

import { visible } from "./texts.js";

const EVENT = '{"id": 17, "state": "paid"}';

/** Returns what pushes in Python; with a key, where pushes are to be signed. */
export function python(url, topic, signed) {
  const key = signed ? `,
                auth_key="KEY",
                auth_secret="SECRET"` : "";
  return `from webmqconnect_async import Client

client = Client(${pythonString(url)}${key})
client.push(${pythonString(topic)},
            ${EVENT})`;
}

/** Returns what pushes unsigned. */
export function curl(url, topic) {
  const query = new URLSearchParams({ topicuri: topic });
  return `curl -d ${shellWord(EVENT)} \\\n  ${shellWord(`${new URL(url)}?${query}`)}`;
}

/** Returns what signs, as curl cannot. */
export function command(url, topic) {
  if (topic.includes("\0")) return "# No command line can hold the \\u0000 in this topic.";
  const end = topic.startsWith("-") ? "-- " : "";  // of the options
  return "WEBMQ_AUTH_SECRET=SECRET \\\n  webmqconnect push --key KEY \\\n"
    + `  ${end}${url} \\\n  ${shellWord(topic)} \\\n  ${shellWord(EVENT)}`;
}

/** JSON's strings are Python's, too. But an escape stands for a character there, and not for half of one. */
function pythonString(text) {
  return visible(JSON.stringify(text), (character) => {
    const code = character.codePointAt().toString(16);
    return character.length === 1 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  });
}

/** The quotes that know escapes are those of bash, zsh and others, and came late to POSIX: only where it must be. */
function shellWord(text) {
  const escaped = visible(text.replace(/[\\']/g, "\\$&"), shellEscape);
  return visible(text) === text ? `'${text.replaceAll("'", "'\\''")}'` : `$'${escaped}'`;
}

/** The bytes in octal, which depend on no locale. */
function shellEscape(character) {
  return [...new TextEncoder().encode(character)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
