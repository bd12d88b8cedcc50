"""The pictures of the to-do board in the docs, taken anew: `python -m docs.board_screenshots`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.chromium import Page, chromium
from tests.examples.boards import running

PICTURES = Path(__file__).parent / "pages" / "images"
GLOW = 2.5
"""Seconds for which a change by somebody else stands out, ever less."""
ADA, BOB = "frames[0]", "frames[1]"
SIDE_BY_SIDE = """
document.body.style.cssText = "display: flex; gap: 12px; box-sizing: border-box; height: 100vh; padding: 12px";
document.body.style.margin = 0;
document.body.style.background = "#c9ced6";
document.body.replaceChildren(...["ada", "bob"].map((title) => {
  const frame = Object.assign(document.createElement("iframe"), { title, src: "/" });
  frame.style.cssText = "flex: 1; border: 0; border-radius: 10px";
  return frame;
}));
"""


async def main() -> None:
    """Take both pictures: two people's pages side by side, and one of them on a phone in the dark."""
    async with running("aiohttp_board") as board, chromium() as page:
        await page.appear(1200, 520)
        # Of the same origin, and without a policy against frames.
        await page.open(f"{board.site.url}/webmq/webmq.min.js")
        await page.evaluate(SIDE_BY_SIDE)
        for person in (ADA, BOB):
            await page.until(f"{person}.document.getElementById('state')?.textContent === 'Live'")
        for number, (person, text) in enumerate(
            [(ADA, "Order tea, 500 g"), (BOB, "Mend the blue cup"), (ADA, "<b>Markup</b> stays text")]
        ):
            await add(page, person, text, count=number + 1)
        await tick(page, ADA, "Order tea, 500 g")
        await tick(page, BOB, "<b>Markup</b> stays text")
        await asyncio.sleep(GLOW)
        await add(page, BOB, "Invite Grace & Edsger for Friday", count=4)
        await asyncio.sleep(GLOW / 4)
        await page.screenshot(PICTURES / "board.png")

        await page.appear(360, 520, dark=True, phone=True)
        await page.open(f"{board.site.url}/")
        await page.until("document.getElementById('state').textContent === 'Live'")
        await page.screenshot(PICTURES / "board-phone.png")


async def add(page: Page, person: str, text: str, *, count: int) -> None:
    """Type an item into a person's page, and wait until the other one shows it."""
    field = f"{person}.document.getElementById('text')"
    await page.evaluate(f"{field}.value = {json.dumps(text)}; {field}.form.requestSubmit()")
    for each in (ADA, BOB):
        await page.until(f"{each}.document.querySelectorAll('#items li').length === {count}")
    await page.until(f"{field}.value === ''")


async def tick(page: Page, person: str, text: str) -> None:
    """Tick an item in a person's page, and wait until the other one shows it."""

    def box(frame: str) -> str:
        rows = f"[...{frame}.document.querySelectorAll('#items li')]"
        return f"{rows}.find((row) => row.textContent.startsWith({json.dumps(text)})).querySelector('input')"

    await page.evaluate(f"{box(person)}.click()")
    for each in (ADA, BOB):
        await page.until(f"{box(each)}.checked")


if __name__ == "__main__":
    asyncio.run(main())
