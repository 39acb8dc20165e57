"""The supervisor's end of a runner's socket cannot be made to grow."""

import asyncio
import socket
from itertools import count
from typing import Any

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame, encode, pack
from workers.supervisor.link import SLICE_FRAMES, RunnerLink

QUESTIONS = 2_000
ANSWER = b"x" * 100_000
PHASE = encode({"t": "phase"})
READ_BYTES = 256 << 10
"""What asyncio reads at once."""
MOST_BYTES = 5 << 20
"""The bound of the write buffer, and one answer."""


async def test_questions_wait_while_their_answers_are_not_read() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    answered: list[Frame] = []
    largest = 0

    def answer(frame: Frame) -> None:
        nonlocal largest
        answered.append(frame)
        link.send(ANSWER)
        assert link._transport is not None
        largest = max(largest, link._transport.get_write_buffer_size())

    link = RunnerLink(answer, lambda: False, max_frame_bytes=1024)
    await loop.connect_accepted_socket(lambda: link, ours)
    try:
        await loop.sock_sendall(theirs, encode({"t": "lm", "id": 1}) * QUESTIONS)
        while not answered:  # noqa: ASYNC110 - the link has no event to wait for
            await asyncio.sleep(0)
        assert len(answered) < QUESTIONS

        received = 0
        while received < QUESTIONS * len(ANSWER):
            received += len(await loop.sock_recv(theirs, 1 << 20))

        assert len(answered) == QUESTIONS
        assert largest < MOST_BYTES
    finally:
        link.close()
        theirs.close()


async def test_what_came_before_the_end_is_handed_on() -> None:
    ours, theirs = socket.socketpair()
    seen: list[Frame] = []
    link = RunnerLink(seen.append, lambda: False, max_frame_bytes=1024)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: link, ours)

    theirs.sendall(encode({"t": "result", "id": 1}))
    theirs.close()

    assert await link.ended is None
    assert [frame["t"] for frame in seen] == ["result"]


async def test_last_words_are_heard_even_if_an_answer_finds_nobody_any_more() -> None:
    ours, theirs = socket.socketpair()
    seen: list[Frame] = []
    link = RunnerLink(seen.append, lambda: False, max_frame_bytes=1024)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: link, ours)
    theirs.sendall(encode({"t": "lm", "id": 1}) + encode({"t": "failure", "failure": {}}))
    theirs.close()

    link.send(ANSWER)

    assert await link.ended is None
    assert [frame["t"] for frame in seen] == ["lm", "failure"]


async def test_a_flood_leaves_the_loop_its_turns() -> None:
    seen: list[Frame] = []
    link = RunnerLink(seen.append, lambda: False, max_frame_bytes=1024)

    link.data_received(PHASE * (10 * SLICE_FRAMES))

    assert await _steps(link, seen) == [SLICE_FRAMES] * 10


async def test_frames_that_cost_much_time_take_a_turn_each() -> None:
    seen: list[Frame] = []
    link = RunnerLink(seen.append, lambda: False, max_frame_bytes=1024, clock=count().__next__)

    link.data_received(PHASE * 5)

    assert await _steps(link, seen) == [1] * 5


async def test_looking_again_and_again_does_not_take_more_of_a_turn() -> None:
    seen: list[Frame] = []

    def answer(frame: Frame) -> None:
        seen.append(frame)
        asyncio.get_running_loop().call_soon(link.look_again)

    link = RunnerLink(answer, lambda: False, max_frame_bytes=1024)

    link.data_received(PHASE * (3 * SLICE_FRAMES))

    assert await _steps(link, seen) == [SLICE_FRAMES] * 3


async def test_no_more_is_read_while_frames_wait() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    seen: list[Frame] = []
    link = RunnerLink(seen.append, lambda: False, max_frame_bytes=1024)
    await loop.connect_accepted_socket(lambda: link, ours)
    flood = PHASE * (4 * READ_BYTES // len(PHASE))
    sending = loop.create_task(loop.sock_sendall(theirs, flood))

    most = 0
    async with asyncio.timeout(60):
        while len(seen) * len(PHASE) < len(flood):
            await asyncio.sleep(0)
            most = max(most, link.received_bytes - len(seen) * len(PHASE))

    assert 0 < most < READ_BYTES + len(PHASE)
    await sending
    link.close()
    theirs.close()


async def test_last_words_that_take_many_turns_are_all_heard() -> None:
    ours, theirs = socket.socketpair()
    seen: list[Frame] = []
    link = RunnerLink(seen.append, lambda: False, max_frame_bytes=1024)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: link, ours)

    theirs.sendall(PHASE * (5 * SLICE_FRAMES) + encode({"t": "result"}))
    theirs.close()

    assert await link.ended is None
    assert (len(seen), seen[-1]["t"]) == (5 * SLICE_FRAMES + 1, "result")


async def test_nonsense_counts_after_what_came_before_it() -> None:
    seen: list[Frame] = []
    link = RunnerLink(seen.append, lambda: False, max_frame_bytes=1024)

    link.data_received(PHASE * (2 * SLICE_FRAMES) + pack(b"nonsense") + PHASE)

    assert isinstance(await link.ended, ProtocolError)
    assert len(seen) == 2 * SLICE_FRAMES


async def test_a_bug_in_a_later_turn_ends_the_link() -> None:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    seen: list[Frame] = []

    def stumble(frame: Frame) -> None:
        seen.append(frame)
        if len(seen) > SLICE_FRAMES:
            raise LookupError

    link = RunnerLink(stumble, lambda: False, max_frame_bytes=1024)

    link.data_received(PHASE * (2 * SLICE_FRAMES))

    assert await link.ended is None
    assert [type(context["exception"]) for context in told] == [LookupError]


async def _steps(link: RunnerLink, seen: list[Frame]) -> list[int]:
    """Return how many frames were handed on at once, and then in each turn of the loop, until none waited."""
    steps = [len(seen)]
    async with asyncio.timeout(60):
        while not link.is_reading:
            await asyncio.sleep(0)
            steps.append(len(seen) - sum(steps))
    return [step for step in steps if step]
