"""A language model on loopback, in a process of its own, whose every word is the moment at which it was due.

It writes as many words, and as fast, as it is asked to: ``7: 100 words, one every 20 ms``. It prints its address, then
a line for each stream whose client left before its end: the number that the question began with, and the moment when it
noticed. Moments are ``time.monotonic``, which all processes of a machine share.
"""

import re
import time
from collections.abc import Sequence
from typing import Final

from tests.support.openai_server import Body, OpenAIServer, Reply

LOOK_SECONDS: Final = 0.005
_ASKED: Final = re.compile(r"(\d+): (\d+) words, one every (\d+) ms")


def question(number: int, *, words: int, pace_ms: int) -> str:
    """Return what to ask."""
    return f"{number}: {words} words, one every {pace_ms} ms"


class Ticks(Sequence[str]):
    """So many words; each is made right before the pause that it waits for."""

    def __init__(self, count: int, pace_seconds: float) -> None:
        self._count = count
        self._pace_seconds = pace_seconds

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # nobody asks for slices
        if index >= self._count:
            raise IndexError(index)
        return f"{time.monotonic() + (self._pace_seconds if index else 0.0):.6f} "


def main() -> None:
    """Serve until the process is ended."""
    with OpenAIServer(_answer) as server:
        print(server.base_url, flush=True)
        told: set[int] = set()
        while True:
            time.sleep(LOOK_SECONDS)
            for index, request in enumerate(server.received):
                if request.closed_at is not None and index not in told:
                    told.add(index)
                    print(_asked(request.body)[0], request.closed_at, flush=True)


def _answer(body: Body) -> Reply:
    _, words, pace_ms = _asked(body)
    return Reply(pieces=Ticks(words, pace_ms / 1000), piece_seconds=pace_ms / 1000)


def _asked(body: Body) -> tuple[int, int, int]:
    found = _ASKED.search(str(body["messages"][-1]["content"]))
    if found is None:
        message = f"Nobody says how to answer {body!r}."
        raise ValueError(message)
    number, words, pace_ms = map(int, found.groups())
    return number, words, pace_ms


if __name__ == "__main__":
    main()
