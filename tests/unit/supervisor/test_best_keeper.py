"""The best program so far on its way to the stores."""

import asyncio

import pytest

from dspy_service.domain.errors import ArtifactCorruptError, LeaseLostError, StoreUnavailableError
from dspy_service.domain.result import RunnerResult
from dspy_service.domain.supervision import Checkpoint
from tests.support.scripted_child import settle
from tests.support.supervised import Kept
from workers.supervisor.best_keeper import BestKeeper

_HOUR = 3600.0


def _best(number: int, score: float | None = None, *, size: int = 1) -> Checkpoint:
    result = RunnerResult(module_name="predict", optimizer_name="o")
    return Checkpoint(number, number if score is None else score, {"program.pkl": b"x" * size}, result)


class Slow(Kept):
    """Stores each one only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.let = asyncio.Event()

    async def __call__(self, checkpoint: Checkpoint) -> None:
        self.begun.append(checkpoint.number)
        await self.let.wait()
        await super().__call__(checkpoint)


class Failing(Kept):
    """Fails so often, then stores."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.failed = asyncio.Event()

    async def __call__(self, checkpoint: Checkpoint) -> None:
        if self.errors:
            self.failed.set()
            raise self.errors.pop(0)
        await super().__call__(checkpoint)


def _keeper(
    kept: Kept, *, known_score: float | None = None, max_bytes: int = 1000, pause_seconds: float = 0.0
) -> BestKeeper:
    return BestKeeper(kept, known_score=known_score, max_bytes=max_bytes, pause_seconds=pause_seconds)


async def _all_stored(keeper: BestKeeper, *offered: Checkpoint) -> None:
    async with asyncio.timeout(10):
        for checkpoint in offered:
            keeper.offer(checkpoint)
            await keeper.settle()


async def _stored(keeper: BestKeeper, *offered: Checkpoint) -> None:
    running = asyncio.create_task(keeper.run())
    try:
        await _all_stored(keeper, *offered)
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_checkpoints_are_stored_in_their_order() -> None:
    kept = Kept()

    await _stored(_keeper(kept), _best(1), _best(2), _best(3))

    assert kept.numbers == [1, 2, 3]


async def test_a_newer_one_replaces_one_that_waits() -> None:
    kept = Slow()
    keeper = _keeper(kept)
    running = asyncio.create_task(keeper.run())
    keeper.offer(_best(1))
    await settle()

    keeper.offer(_best(2))
    keeper.offer(_best(3))
    kept.let.set()
    await asyncio.wait_for(keeper.settle(), timeout=10)

    running.cancel()
    assert kept.numbers == [1, 3]


async def test_one_that_is_no_better_than_what_is_stored_is_left_out() -> None:
    kept = Kept()

    await _stored(_keeper(kept, known_score=0.5), _best(1, 0.4), _best(2, 0.5), _best(3, 0.6), _best(4, 0.6))

    assert kept.numbers == [3]


async def test_after_one_was_stored_the_next_waits_for_its_turn_unless_there_is_no_more_time() -> None:
    kept = Kept()
    keeper = _keeper(kept, pause_seconds=_HOUR)
    running = asyncio.create_task(keeper.run())
    keeper.offer(_best(1))
    await kept.has(1)
    keeper.offer(_best(2))
    await settle()
    before = kept.numbers

    await asyncio.wait_for(keeper.settle(), timeout=10)

    running.cancel()
    assert before == [1]
    assert kept.numbers == [1, 2]


async def test_pauses_grow_so_that_a_day_has_room_for_a_few_hundred() -> None:
    kept = Kept()
    keeper = _keeper(kept, pause_seconds=0.001)
    running = asyncio.create_task(keeper.run())

    for number in range(1, 11):
        keeper.offer(_best(number))
        await kept.has(number)
    await settle()

    running.cancel()
    assert keeper._pause_seconds > 0.001 * 1.05**8


async def test_a_store_that_is_away_is_asked_again() -> None:
    kept = Failing(StoreUnavailableError("artifact store"))

    await _stored(_keeper(kept), _best(1))

    assert kept.numbers == [1]


async def test_one_that_cannot_be_stored_now_gives_way_to_a_newer_one() -> None:
    kept = Failing(*[StoreUnavailableError("artifact store")] * 2)
    keeper = _keeper(kept)
    running = asyncio.create_task(keeper.run())
    keeper.offer(_best(1))
    await kept.failed.wait()

    await _all_stored(keeper, _best(2))

    running.cancel()
    assert kept.numbers == [2]


async def test_one_that_can_never_be_stored_is_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    kept = Failing(ArtifactCorruptError("x", "it is another job's"))

    await _stored(_keeper(kept), _best(1), _best(2))

    assert kept.numbers == [2]
    assert "Checkpoint 1 could not be stored" in caplog.text


async def test_a_lost_lease_ends_it() -> None:
    keeper = _keeper(Failing(LeaseLostError("j", 1)))
    keeper.offer(_best(1))

    with pytest.raises(LeaseLostError):
        await asyncio.wait_for(keeper.run(), timeout=10)


async def test_all_checkpoints_together_have_a_largest_size(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()

    await _stored(
        _keeper(kept, max_bytes=100), _best(1, size=60), _best(2, size=40), _best(3, size=1), _best(4, size=1)
    )

    assert kept.numbers == [1, 2]
    assert caplog.text.count("are not stored") == 1


async def test_nothing_to_store_is_settled_at_once() -> None:
    await asyncio.wait_for(_keeper(Kept()).settle(), timeout=1)
