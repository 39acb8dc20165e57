"""The window that all readers of a log share: who is woken when, and what they get together."""

import asyncio
from datetime import UTC, datetime

from dspy_service.adapters.redis.event_feed import EventFeed
from dspy_service.domain.events import Event, EventType


def a_feed() -> EventFeed[Event]:
    feed = EventFeed[Event]("job", window=4)
    feed.begin(0)
    return feed


def events(*numbers: int) -> list[Event]:
    now = datetime.now(UTC)
    return [Event(seq=seq, type=EventType.LOG, timestamp=now, attempt=1, data={}) for seq in numbers]


async def test_readers_in_one_place_get_one_list() -> None:
    feed = a_feed()
    feed.add(events(1, 2))

    first, between, second = feed.since(0), feed.since(2), feed.since(0)

    assert first is second
    assert ([event.seq for event in first], between) == ([1, 2], [])


async def test_what_is_shared_ends_with_the_newest_event() -> None:
    feed = a_feed()
    feed.add(events(1))
    before = feed.since(0)

    feed.add(events(2))

    assert [event.seq for event in before] == [1]
    assert [event.seq for event in feed.since(0)] == [1, 2]


async def test_a_quiet_log_wakes_nobody_before_the_first_of_its_readers_wants_to_hear_of_it() -> None:
    feed = a_feed()
    sooner, later = feed.change(until=10.0), feed.change(until=20.0)

    feed.wake_at(9.0)
    woken_early = sooner.done() or later.done()
    feed.wake_at(10.0)

    assert not woken_early
    assert sooner.done()
    assert later.done()


async def test_news_wake_everybody_at_once_and_start_the_wait_anew() -> None:
    feed = a_feed()
    before = [feed.change(until=10.0) for _ in range(3)]

    feed.add(events(1))
    after = feed.change(until=30.0)
    feed.wake_at(20.0)

    assert all(each.done() for each in before)
    assert not after.done()


async def test_a_reader_that_left_keeps_no_other_from_being_woken() -> None:
    feed = a_feed()
    gone, here = feed.change(until=10.0), feed.change(until=10.0)
    gone.cancel()

    feed.close()

    await asyncio.wait_for(here, 5)
    assert gone.cancelled()
