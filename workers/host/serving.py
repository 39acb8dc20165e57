"""Takes each frame to where it belongs: one program, then its runs."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import cloudpickle
import dspy

from dspy_service.domain.frames import Frame
from workers.host.link import ServiceLink
from workers.host.models import Calls
from workers.host.run import Program, carry_out
from workers.runner.failures import describe


class HostedServing:
    """Belongs to the link's event loop.

    Args:
        link: Where the frames of this process go.
    """

    def __init__(self, link: ServiceLink) -> None:
        self._link = link
        self._calls = Calls(link)
        self._head: Frame = {}
        self._pieces: list[bytes] = []
        self._program: Program | None = None
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._kinds: Final[Mapping[str, Callable[[Frame], None]]] = {
            "program": self._take_head,
            "blob": self._take_piece,
            "run": self._begin,
            "stop": self._stop,
            "text": self._calls.tell,
            "answer": self._calls.answer,
            "ping": self._pong,
        }

    def take(self, frame: Frame) -> None:
        """Take one frame; raises KeyError for one of a kind that is none of ours."""
        self._kinds[frame["t"]](frame)

    def _take_head(self, frame: Frame) -> None:
        self._head = frame
        self._link.max_frame_bytes = frame["max_frame_bytes"]

    def _take_piece(self, frame: Frame) -> None:
        self._pieces.append(base64.b64decode(frame["data"]))
        if not frame["last"]:
            return
        pickled, self._pieces = b"".join(self._pieces), []
        try:
            self._program = Program.of(_loaded(pickled), self._head)
        except BaseException as error:  # noqa: BLE001  # loading runs submitted code, which may raise anything
            self._link.send({"t": "refused", "message": describe(error)})
        else:
            self._link.send({"t": "loaded"})

    def _begin(self, frame: Frame) -> None:
        if self._program is None:
            message = "A run came before its program."
            raise ValueError(message)
        number = frame["run"]
        task = asyncio.get_running_loop().create_task(carry_out(frame, self._program, self._calls, self._link))
        self._runs[number] = task
        task.add_done_callback(lambda ended: self._forget(number, ended))

    def _forget(self, number: int, ended: asyncio.Task[None]) -> None:
        self._runs.pop(number, None)
        if ended.cancelled():  # it was told to end before it had begun, and could not say so itself
            self._link.send({"t": "failed", "run": number, "kind": "stopped", "message": ""})

    def _stop(self, frame: Frame) -> None:
        task = self._runs.get(frame["run"])
        if task is not None:
            task.cancel()

    def _pong(self, frame: Frame) -> None:
        self._link.send({"t": "pong", "number": frame["number"]})


def _loaded(pickled: bytes) -> dspy.Module:
    program: Any = cloudpickle.loads(pickled)
    if not isinstance(program, dspy.Module):
        message = f"program.pkl holds a {type(program).__name__}, not a dspy.Module."
        raise TypeError(message)
    return program
