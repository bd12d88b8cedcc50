// What the page's modules share: elements by ID, new elements, numbers for readers, the clipboard.

const COPIED_MS = 1500;

export const at = (id) => document.getElementById(id);

export const number = new Intl.NumberFormat("en").format;

/** Returns a new element with this text: text never becomes markup here. */
export function element(name, text, properties) {
  return Object.assign(document.createElement(name), properties, { textContent: text });
}

/** Returns a new button. */
export function button(text, label, click, className = "quiet") {
  const made = element("button", text, { type: "button", className, ariaLabel: label });
  made.addEventListener("click", click);
  return made;
}

/** Copies a text, and lets the button that asked for it say so for a moment. */
export async function copy(text, asking) {
  asking.textContent = await copied(text) ? "Copied" : "Failed";
  setTimeout(() => { asking.textContent = "Copy"; }, COPIED_MS);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelecting(text);  // not from https or localhost, or not permitted
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
