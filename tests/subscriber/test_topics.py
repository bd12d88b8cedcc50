"""The bookkeeping of floors, losses and confirmations, without a connection."""

from __future__ import annotations

import pytest

from webmqconnect_async.subscriber import Event, TopicRefused
from webmqconnect_async.subscriber._subscription import Backpressure, Inbox, Lost
from webmqconnect_async.subscriber._topics import Topic, Topics

RESTARTED = "the hub has restarted"
PLAIN = {"_newest": True}


class Book:
    """Topics with an inbox of "t" that was confirmed in session 1, at a hub whose newest event was 10."""

    def __init__(self) -> None:
        self.topics = Topics(lambda: None)
        self.topics.connected("1", 10, "h")
        self.inbox = self.add("t")
        assert self.confirm(newest=12) == PLAIN

    def add(self, *names: str) -> Inbox:
        inbox = Inbox(names, Backpressure(100), {*names})
        self.topics.add(inbox)
        return inbox

    def again(self, session: int = 2, newest: int | None = 50, history: str | None = "h") -> None:
        self.topics.disconnected()
        self.topics.connected(str(session), newest, history)

    def ask(self) -> dict[str, object]:
        """Return the options of the next SUBSCRIBE."""
        topic = self.topics.next()
        assert topic is not None
        return self.topics.options(topic)

    def confirm(self, missed: int = 0, newest: int | None = None) -> dict[str, object]:
        options = self.ask()
        self.topics.confirmed(missed, newest)
        return options

    def topic(self, name: str = "t") -> Topic:
        return self.topics._topics[name]

    def event(self, id_: int | None, name: str = "t") -> bool:
        """Receive an event, and return whether an inbox got it."""
        topic = self.topic(name)
        before = [len(inbox.items) for inbox in topic.inboxes]
        self.topics.event(topic, Event(name, id_, id_), id_)
        return before != [len(inbox.items) for inbox in topic.inboxes]

    def taken(self, inbox: Inbox | None = None) -> list[object]:
        """Return the IDs of the events in an inbox, and the reasons of losses."""
        items = (inbox or self.inbox).items
        got: list[object] = [item.why if isinstance(item, Lost) else item.id for item in items]
        items.clear()
        return got


@pytest.fixture
def book() -> Book:
    return Book()


def test_an_idle_topic_is_complete_up_to_the_position(book: Book) -> None:
    """The floor of an idle topic is the position, even if the topic has had no event: it was confirmed at 12."""
    book.again()
    assert book.ask() == {"_after": 12, "_former": [1]}


def test_the_reply_to_a_ping_raises_the_position(book: Book) -> None:
    book.topics.seen(40)
    book.topics.seen(30)
    book.again()
    assert book.ask() == {"_after": 40, "_former": [1]}


def test_events_of_other_topics_raise_the_floor_at_the_end(book: Book) -> None:
    book.add("u")
    book.confirm(newest=13)
    assert book.event(20, "u")
    book.again()
    assert book.ask() == {"_after": 20, "_former": [1]}


def test_topic_that_is_not_confirmed_keeps_its_floor(book: Book) -> None:
    book.again()
    book.again(3, 70)
    assert book.ask() == {"_after": 12, "_former": [1, 2]}


def test_topics_are_subscribed_one_after_another(book: Book) -> None:
    """The next topic is requested when the missed events of the previous one have arrived."""
    book.again()
    book.add("u")
    assert book.ask() == {"_after": 12, "_former": [1]}
    assert book.topics.next() is None
    book.topics.confirmed(missed=1)
    assert book.topics.next() is None
    book.event(20)
    assert book.ask() == PLAIN


def test_an_outage_during_a_recovery(book: Book) -> None:
    book.again()
    book.confirm(missed=3)
    assert [book.event(20), book.event(30)] == [True, True]
    assert book.topics.current is book.topic()
    book.again(3)
    assert book.confirm(missed=1) == {"_after": 30, "_former": [1, 2]}
    assert book.event(40)
    assert book.topics.current is None
    book.again(4)
    assert book.ask() == {"_after": 50, "_former": [3]}


def test_event_at_or_below_the_floor_is_dropped_and_counts_as_missed(book: Book) -> None:
    book.again()
    book.confirm(missed=3)
    assert [book.event(id_) for id_ in (12, 13, 13)] == [False, True, False]
    assert book.topics.current is None


def test_more_than_16_former_sessions(book: Book) -> None:
    for session in range(2, 18):
        book.again(session)
    assert book.ask() == {"_after": 12, "_former": [*range(1, 17)]}
    book.again(18)
    assert book.confirm() == PLAIN
    assert book.taken() == ["too many connections ended before the missed events had arrived"]


@pytest.mark.parametrize(("newest", "history"), [(50, "other"), (11, "other"), (50, None)])
def test_another_history(book: Book, newest: int, history: str | None) -> None:
    """The position starts from the new history, even if that is lower. Earlier IDs are not compared."""
    book.event(20)
    book.again(2, newest, history)
    assert book.confirm(newest=newest) == PLAIN
    assert book.event(newest + 1)
    assert book.taken() == [20, RESTARTED, newest + 1]
    book.again(3, newest + 1, history)
    assert book.ask() == {"_after": newest + 1, "_former": [2]}


def test_a_hub_that_is_behind(book: Book) -> None:
    """One of several hubs with the same history may not have delivered yet what the subscriber has received."""
    book.event(20)
    book.again(2, 11)
    assert book.ask() == {"_after": 20, "_former": [1]}
    book.topics.refused("the hub has not reached this position", history_unavailable=True)
    assert book.confirm(newest=11) == PLAIN
    assert [book.event(id_) for id_ in (15, 20, 21)] == [False, False, True]
    assert book.taken() == [20, "the hub has not reached this position", 21]
    book.again(3, 12)
    assert book.ask() == {"_after": 21, "_former": [2]}


def test_no_event_is_received_twice_however_far_behind_a_hub_is(book: Book) -> None:
    book.event(20)
    book.again(2, 11)
    book.topics.next()
    book.topics.refused("the hub has not reached this position", history_unavailable=True)
    book.confirm(newest=11)
    book.again(3, 12)
    assert book.ask() == {"_after": 20, "_former": [2]}


def test_no_history(book: Book) -> None:
    """Without a history, IDs are not compared, and each outage causes a loss."""
    book.event(20)
    book.taken()
    for session in (2, 3):
        book.again(session, None, None)
        assert book.confirm() == {}
        assert [book.event(7), book.event(3), book.event(None)] == [True] * 3
        assert book.taken() == ["the broker keeps no history", 7, 3, None]
    book.again(4, 60)
    assert book.confirm(newest=60) == PLAIN
    assert book.taken() == [RESTARTED]


def test_loss_is_pending_until_the_plain_confirmation(book: Book) -> None:
    book.again()
    assert "_after" in book.ask()
    book.topics.refused("expired", history_unavailable=True)
    assert book.ask() == PLAIN
    book.again(3)
    assert book.ask() == PLAIN
    assert book.taken() == []
    book.topics.confirmed(newest=60)
    assert book.taken() == ["expired"]
    book.again(4, 70)
    book.confirm()
    assert book.taken() == []


def test_a_topic_that_was_never_confirmed_has_no_loss(book: Book) -> None:
    inbox = book.add("u")
    book.again(2, 5, "other")
    book.confirm()
    assert book.confirm(newest=5) == PLAIN
    assert (book.taken(inbox), book.taken()) == ([], [RESTARTED])


def test_confirmation_without_a_position(book: Book) -> None:
    """The fourth element of SUBSCRIBED is optional."""
    book.add("u")
    book.confirm()
    book.again()
    book.confirm()
    assert book.ask() == {"_after": 12, "_former": [1]}


def test_a_topic_is_forgotten_with_its_last_inbox(book: Book) -> None:
    """The missed events of a forgotten topic are not awaited, and it starts anew, even if there is no connection."""
    book.again()
    book.confirm(missed=2)
    book.topics.remove(book.inbox)
    assert len(book.topics.ended) == 1
    inbox = book.add("t")
    assert book.confirm(newest=60) == PLAIN
    book.topics.disconnected()
    book.topics.remove(inbox)
    book.add("t")
    book.topics.connected("3", 70, "h")
    assert (book.confirm(), book.topics.ended) == (PLAIN, [])


def test_a_topic_is_forgotten_before_it_is_confirmed(book: Book) -> None:
    inbox = book.add("u")
    book.ask()
    topic = book.topic("u")
    book.topics.remove(inbox)
    book.topics.ended.clear()
    assert book.topics.next() is None
    book.topics.confirmed(newest=60)
    assert (book.topics.ended, book.topics.current) == ([topic], None)


def test_second_inbox_gets_only_what_follows_its_own_confirmation(book: Book) -> None:
    """A second inbox gets no missed event, not even the rest of them if it was added during the recovery."""
    book.again()
    early = book.add("t")
    book.confirm(missed=2)
    book.event(20)
    late = book.add("t")
    assert (early.unconfirmed, late.unconfirmed) == ({"t"}, {"t"})
    book.event(30)
    assert (early.unconfirmed, late.unconfirmed) == (set(), set())
    book.event(60)
    assert [book.taken(), book.taken(early), book.taken(late)] == [[20, 30, 60], [60], [60]]


def test_refusal_after_the_first_confirmation_is_a_loss(book: Book) -> None:
    """The topic is kept, and recovers if it is accepted on a later connection."""
    never = book.add("t", "u")
    book.confirm()
    book.event(20)
    book.again()
    new = book.add("t")
    book.ask()
    book.topics.refused("not_authorized")
    assert book.taken() == book.taken(never) == [20, "the broker refuses the topic: not_authorized"]
    assert (new.ended, type(new.error), book.inbox.ended, never.ended) == (True, TopicRefused, False, False)
    assert book.ask() == {"_after": 20, "_former": [1]}  # the confirmation of "u"
    book.topics.confirmed()
    assert book.topics.next() is None
    book.again(3)
    assert book.confirm(missed=1) == {"_after": 20, "_former": [1, 2]}
    assert book.event(30)
    assert book.taken() == [30]


def test_refused_topic_is_lost_again_if_it_cannot_recover(book: Book) -> None:
    book.again(2, 50, "other")
    book.ask()
    book.topics.refused("not_authorized")
    book.again(3, 50, "other")
    assert book.confirm() == PLAIN
    assert book.taken() == ["the broker refuses the topic: not_authorized", RESTARTED]


def test_a_refused_topic_is_requested_again_by_another_subscription(book: Book) -> None:
    book.again()
    book.ask()
    book.topics.refused("not_authorized")
    book.add("t")
    assert book.confirm() == {"_after": 12, "_former": [1]}


def test_history_unavailable_without_a_floor_is_a_refusal(book: Book) -> None:
    inbox = book.add("u")
    book.ask()
    book.topics.refused("history_unavailable", history_unavailable=True)
    assert isinstance(inbox.error, TopicRefused)
    assert book.topics.next() is None


def test_events_before_the_confirmation_wait_for_it(book: Book) -> None:
    """WAMP v1 has no reply to SUBSCRIBE, so the confirmation may arrive after events, which wait for it."""
    book.again(2, None, None)
    book.ask()
    assert not book.event(None)
    book.topics.confirmed()
    assert book.taken() == ["the broker keeps no history", None]
