// Functions that the modules of the page share: elements, numbers and times as text, the clipboard.

const COPIED_MS = 1500;

export const at = (id) => document.getElementById(id);

export const number = new Intl.NumberFormat("en").format;

/** Returns the time of day of a Date or of milliseconds. */
export const clock = new Intl.DateTimeFormat("en", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
}).format;

/** Returns a new element with this text. The page never interprets text as markup. */
export function element(name, text, properties) {
  return Object.assign(document.createElement(name), properties, { textContent: text });
}

/** Returns an element with the time of day of a Unix time in milliseconds. */
export function time(milliseconds) {
  return element("time", clock(milliseconds), { dateTime: new Date(milliseconds).toISOString() });
}

/** Returns a new button. */
export function button(text, label, click, className = "quiet") {
  const made = element("button", text, { type: "button", className, ariaLabel: label });
  made.addEventListener("click", click);
  return made;
}

/** Copies a text. The button shows the result for a moment. */
export async function copy(text, pressed) {
  pressed.textContent = await copied(text) ? "Copied" : "Failed";
  setTimeout(() => { pressed.textContent = "Copy"; }, COPIED_MS);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelecting(text);  // the Clipboard API needs https or localhost, and permission
  }
}

function copiedBySelecting(text) {
  const focused = document.activeElement;
  const area = element("textarea", "", { value: text, className: "unseen", readOnly: true });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}
