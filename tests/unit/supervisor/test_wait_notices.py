"""A job that stands still since a provider refuses its calls says so."""

from datetime import UTC, datetime, timedelta

from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.throttle import ProviderWait
from tests.support.claims import JOB_ID, claimed, told
from tests.support.supervised import ScriptedDoor
from workers.supervisor.feed import EventFeed
from workers.supervisor.wait_notices import WaitNotices

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


class Watched:
    """A job, its notices, and a clock that a test moves."""

    @classmethod
    async def begin(cls) -> "Watched":
        self = cls()
        self.jobs, claim = await claimed()
        self.feed, self.door, self.seconds = EventFeed(claim, self.jobs), ScriptedDoor(), 0.0
        self.notices = WaitNotices(
            self.feed,
            self.door,
            monotonic=lambda: self.seconds,
            utc_now=lambda: NOON + timedelta(seconds=self.seconds),
        )
        self.feed.add(NewEvent(type=EventType.PROGRESS, data={"event": "optimizer_progress", "metrics": {}}))
        await self.look()
        return self

    async def look(self, *waits: ProviderWait) -> str | None:
        """Look once, and return the job's message."""
        self.door.waits = list(waits)
        self.notices.look()
        await self.feed.flush()
        return (await self.jobs.get(JOB_ID)).message

    async def codes(self) -> list[str]:
        return [data["code"] for data in await told(self.jobs, EventType.WARNING)]


def wait(seconds: float, *, silence: float = 8.0, refusals: int = 3, provider: str = "openai") -> ProviderWait:
    return ProviderWait(provider=provider, seconds=seconds, silence_seconds=silence, refusals=refusals)


async def test_a_short_wait_is_not_worth_a_word() -> None:
    watched = await Watched.begin()

    messages = [await watched.look(wait(4.9)), await watched.look()]

    assert messages == ["optimizer_progress"] * 2
    assert await watched.codes() == []


async def test_a_long_wait_is_told_once_and_so_is_its_end() -> None:
    watched = await Watched.begin()

    begun = await watched.look(wait(5))
    watched.seconds += 7
    probing = await watched.look(wait(12, silence=0))
    watched.seconds += 1
    later = await watched.look(wait(13, silence=10, refusals=4))
    ended = await watched.look()

    text = "openai refuses calls (429): waiting until 12:00:08 UTC, 3 refusals so far"
    assert begun == probing == text
    assert later == "openai refuses calls (429): waiting until 12:00:18 UTC, 4 refusals so far"
    assert ended == "optimizer_progress"
    assert [(data["code"], data["message"]) for data in await told(watched.jobs, EventType.WARNING)] == [
        ("provider_waits", text),
        ("provider_answers", "openai answers again, after 13 s"),
    ]
    assert [data["level"] for data in await told(watched.jobs, EventType.LOG)] == ["WARNING", "INFO"]


async def test_a_provider_begins_one_told_wait_a_minute() -> None:
    watched = await Watched.begin()
    for _ in range(4):
        await watched.look(wait(6))
        await watched.look()
        watched.seconds += 25

    assert await watched.codes() == ["provider_waits", "provider_answers"] * 2


async def test_a_wait_that_ended_and_began_again_between_two_looks_is_another() -> None:
    watched = await Watched.begin()
    await watched.look(wait(30))

    message = await watched.look(wait(1))

    assert message == "optimizer_progress"
    assert await watched.codes() == ["provider_waits", "provider_answers"]


async def test_two_providers_are_told_apart() -> None:
    watched = await Watched.begin()

    await watched.look(wait(6), wait(6, provider="http://127.0.0.1:9", refusals=1))

    messages = [data["message"] for data in await told(watched.jobs, EventType.WARNING)]
    assert messages[0].startswith("openai refuses")
    assert messages[1] == "http://127.0.0.1:9 refuses calls (429): waiting until 12:00:08 UTC, 1 refusal so far"


async def test_an_attempt_that_ends_leaves_no_wait_behind_in_the_message() -> None:
    watched = await Watched.begin()
    await watched.look(wait(6))

    watched.notices.close()
    await watched.feed.flush()

    assert (await watched.jobs.get(JOB_ID)).message == "optimizer_progress"
    assert await watched.codes() == ["provider_waits"]
