"""The supervisor's end of a runner's socket cannot be made to grow."""

import asyncio
import socket

from dspy_service.domain.frames import Frame, encode
from workers.supervisor.link import RunnerLink

QUESTIONS = 2_000
ANSWER = b"x" * 100_000
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
