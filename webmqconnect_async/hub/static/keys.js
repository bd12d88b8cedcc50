// Keyboard navigation in long lists.

/**
 * Makes a list one tab stop. The arrows up and down move between its rows, Home and End to the first and last of them,
 * and the arrows right and left to the buttons of a row and back. Rows and buttons have the tabIndex -1.
 */
export function oneTabStop(list, rowSelector) {
  let current = null;  // the row that had the focus last
  const rows = () => [...list.querySelectorAll(rowSelector)].filter((row) => !row.hidden);
  const leave = () => { list.tabIndex = list.contains(document.activeElement) ? -1 : 0; };

  list.addEventListener("focusin", ({ target }) => {
    list.tabIndex = -1;  // otherwise Shift+Tab would stay in the list
    if (target !== list) current = target.closest(rowSelector);
    else (list.contains(current) && !current.hidden ? current : rows()[0])?.focus();
  });
  list.addEventListener("focusout", ({ relatedTarget }) => {
    if (!list.contains(relatedTarget)) list.tabIndex = 0;
  });
  // A browser may fire no event when the element that has the focus is removed.
  new MutationObserver(leave).observe(list, { childList: true });

  list.addEventListener("keydown", (pressed) => {
    const row = pressed.target.closest(rowSelector);
    if (!row || pressed.altKey || pressed.ctrlKey || pressed.metaKey) return;
    const all = rows(), inside = [row, ...row.querySelectorAll("button")];
    const next = {
      ArrowDown: () => all[all.indexOf(row) + 1],
      ArrowUp: () => all[all.indexOf(row) - 1],
      Home: () => all[0],
      End: () => all.at(-1),
      ArrowRight: () => inside[inside.indexOf(pressed.target) + 1],
      ArrowLeft: () => inside[inside.indexOf(pressed.target) - 1],
    }[pressed.key]?.();
    if (!next) return;
    pressed.preventDefault();
    next.focus();
  });
  leave();
}
