"""One run of a program in a host: what the program asks and tells goes through here."""

import base64
import time
from collections.abc import Iterator
from typing import Any, Final

from dspy_service.domain.frames import CHUNK_BYTES, encode
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import StatusNoted
from workers.lm.engine import CallLimits
from workers.serving.hosting.hosted_calls import HostedCalls
from workers.serving.hosting.hosted_programs import HostedPrograms
from workers.serving.hosting.hosted_run import HostedRun
from workers.serving.hosting.rules import HostRules
from workers.serving.hosting.told_facts import ToldFacts
from workers.serving.lm import RunCalls
from workers.serving.lm_options import RUN_OPTIONS
from workers.serving.models import ServedModel
from workers.serving.progress import TakesFacts

_STARTING: Final = StatusNoted(
    stage="module", phase="start", name="process", message="Starting the program's own process."
)


class HostedTurn:
    """See Turn.

    Args:
        version: One with ``confined`` hosting.
        hosts: Where its program is.
        rules: What a run may use.
        model: The version's.
        calls: Of the run.
        facts: Where its facts go.
    """

    def __init__(
        self,
        version: ProgramVersion,
        hosts: HostedPrograms,
        rules: HostRules,
        model: ServedModel,
        calls: RunCalls,
        facts: TakesFacts,
    ) -> None:
        self._version = version
        self._hosts = hosts
        self._rules = rules
        self._model = model
        self._calls = calls
        self._facts = facts

    async def predict(self, run: Run) -> dict[str, Any]:
        """See Turn."""
        rules = self._rules
        asked = max(CallLimits.max_tokens, self._version.lm.max_tokens or 0, run.options.max_tokens or 0)
        told = ToldFacts(self._version.interface, self._facts, max_facts=rules.facts, max_chars=rules.chars)
        calls = HostedCalls(self._calls, self._model.engine, max_tokens=asked, max_calls=rules.calls)
        options = {name: getattr(run.options, name) for name in RUN_OPTIONS}
        instructions = run.options.instructions if self._version.chat.allow_system else None
        frame = {"inputs": run.inputs, "options": options, "instructions": instructions}
        begun = self._tell_of_start()
        async with self._hosts.host(self._version, self._opening) as host:
            if begun is not None:
                elapsed = round((time.monotonic() - begun) * 1000, 3)
                self._facts.add(_STARTING.model_copy(update={"phase": "end", "elapsed_ms": elapsed}))
            return await host.carry_out(HostedRun(told, calls), frame)

    def _tell_of_start(self) -> float | None:
        """Say that there is a process to wait for, and since when; None: there is none."""
        if self._hosts.is_warm(self._version):
            return None
        self._facts.add(_STARTING)
        return time.monotonic()

    def _opening(self, pickled: bytes) -> Iterator[bytes]:
        """Yield the frames that hand the program over; they name no key, no address and no tenant."""
        yield encode(
            {
                "t": "program",
                "adapter": self._version.adapter,
                "model": self._version.lm.model_dump(mode="json", exclude={"base_url"}),
                "capabilities": self._model.capabilities,
                "max_frame_bytes": self._rules.frame_bytes,
            }
        )
        pieces = [pickled[start : start + CHUNK_BYTES] for start in range(0, len(pickled), CHUNK_BYTES)] or [b""]
        for number, piece in enumerate(pieces, 1):
            yield encode({"t": "blob", "data": base64.b64encode(piece).decode(), "last": number == len(pieces)})
