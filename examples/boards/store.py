"""The items of a to-do board, in the memory of one process. Independent of the framework and the broker."""

import time
from dataclasses import dataclass, field, replace

LONGEST_TEXT = 200
MOST_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Item:
    id: int
    text: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """The new state of one item, or None if it was deleted."""

    version: int
    id: int
    item: Item | None


class Refused(Exception):
    """A change that cannot be made, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class Board:
    """All items by ID, and the version of the last change."""

    # Microseconds, so that versions are higher after a restart, and below 2**53, the limit of integers in JavaScript.
    version: int = field(default_factory=lambda: time.time_ns() // 1000)
    items: dict[int, Item] = field(default_factory=dict)

    def add(self, text: str) -> Change:
        text = text.strip().encode(errors="replace").decode()  # JSON may have lone surrogates
        if not 1 <= len(text) <= LONGEST_TEXT:
            raise Refused(422, f"text: 1 to {LONGEST_TEXT} characters are needed")
        if len(self.items) >= MOST_ITEMS:
            raise Refused(409, f"there are {MOST_ITEMS} items already")
        return self._changed(Item(self.version + 1, text))  # IDs are never reused, not even after a restart

    def tick(self, id: int, done: bool) -> Change:
        return self._changed(replace(self._item(id), done=done))

    def delete(self, id: int) -> Change:
        del self.items[self._item(id).id]
        self.version += 1
        return Change(self.version, id, None)

    def _item(self, id: int) -> Item:
        if id not in self.items:
            raise Refused(404, "somebody has deleted it")
        return self.items[id]

    def _changed(self, item: Item) -> Change:
        self.items[item.id] = item
        self.version += 1
        return Change(self.version, item.id, item)
