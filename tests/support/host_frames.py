"""A host without its process: what serves a program, and a script at the other end of its link."""

import asyncio
import base64
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import cloudpickle
from dspy._vendor.lm15.serde import response_to_dict

from dspy_service.domain.frames import HOST_VALUES, Frame, encode
from tests.support.lm_calls import response
from workers.host.link import ServiceLink
from workers.host.serving import HostedServing

HEAD: Frame = {
    "t": "program",
    "adapter": "chat",
    "model": {"name": "openai/test", "temperature": 0.5},
    "capabilities": {},
    "max_frame_bytes": 100_000,
}
Answer = Callable[[Frame], Mapping[str, Any] | str | None]
"""To a call: a text, an ``error``, or None for silence."""


class ScriptedLink:
    """Looks like a ServiceLink; answers calls at once, piece by piece."""

    def __init__(self, answer: Answer) -> None:
        self.loop = asyncio.get_running_loop()
        self.max_frame_bytes = 1 << 20
        self.sent: list[Frame] = []
        self.calls: list[Frame] = []
        self._answer = answer
        self._thread = threading.get_ident()
        self._news = asyncio.Event()
        self.serving = HostedServing(cast("ServiceLink", self))

    @property
    def is_on_loop(self) -> bool:
        return threading.get_ident() == self._thread

    def send(self, frame: Mapping[str, Any]) -> None:
        encode(frame, max_frame_bytes=self.max_frame_bytes, max_values=HOST_VALUES)
        self.loop.call_soon_threadsafe(self._take, dict(frame))

    def load(self, program: object, **head: Any) -> None:  # noqa: ANN401  # of the frame
        """Hand a program over in two pieces."""
        pickled = program if isinstance(program, bytes) else cloudpickle.dumps(program)
        self.serving.take({**HEAD, **head})
        for piece, last in ((pickled[:10], False), (pickled[10:], True)):
            self.serving.take({"t": "blob", "data": base64.b64encode(piece).decode(), "last": last})

    def run(self, number: int = 1, **frame: Any) -> None:  # noqa: ANN401  # of the frame
        inputs = {"question": "Why?"}
        self.serving.take({"t": "run", "run": number, "inputs": inputs, "options": {}, "instructions": None, **frame})

    async def heard(self, *kinds: str) -> Frame:
        """Wait for a frame of one of these kinds, and return the last one."""
        async with asyncio.timeout(30):
            while not (found := [frame for frame in self.sent if frame["t"] in kinds]):
                await self.heard_more()
        return found[-1]

    async def heard_more(self) -> None:
        """Wait for any frame."""
        self._news.clear()
        await self._news.wait()

    def facts(self, kind: str) -> list[Frame]:
        return [fact for frame in self.sent if frame["t"] == "facts" for fact in frame["facts"] if fact["type"] == kind]

    def _take(self, frame: Frame) -> None:
        self.sent.append(frame)
        self._news.set()
        if frame["t"] == "lm":
            self.calls.append(frame)
            said = self._answer(frame)
            if isinstance(said, str):
                for word in said.split(" "):
                    self.serving.take({"t": "text", "id": frame["id"], "text": word + " "})
                said = {"response": response_to_dict(response(said))}
            if said is not None:
                self.serving.take({"t": "answer", "id": frame["id"], **said})
