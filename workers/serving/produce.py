"""Carries a run out: the program in a task of its own, and what it does as facts for whoever keeps the run's log."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple, Protocol

from pydantic import JsonValue

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact, UsageCounted
from dspy_service.ports.serving.programs import ProgramStore
from workers.lm.meter import Meter
from workers.serving.answer_cache import ROLE, AnswerCache
from workers.serving.callbacks import ProgramWatch
from workers.serving.hosting.hosting import Hosting
from workers.serving.known_versions import KnownVersions
from workers.serving.lm import RunCalls
from workers.serving.models import ServedModels
from workers.serving.plain_programs import PlainPrograms
from workers.serving.plain_turn import PlainTurn
from workers.serving.plain_values import answer_of
from workers.serving.progress import Progress
from workers.serving.run_errors import run_error


class Turn(Protocol):
    """The program of one run, wherever it is."""

    async def predict(self, run: Run) -> Mapping[str, JsonValue]:
        """Return the prediction, in the order of the program's outputs; cancelled, the program ends at once."""
        ...


class _Prepared(NamedTuple):
    version: ProgramVersion
    turn: Turn
    calls: RunCalls


class Producer:
    """Carries out the runs of a process, on one event loop; runs share programs and models and nothing else.

    Args:
        store: Knows the versions.
        programs: Has their programs.
        models: Has their models.
        cache: Answers of the tenants' earlier calls; None: none are kept.
        hosting: Programs that only their own code can rebuild; None: this worker has no room where code may run.
    """

    def __init__(
        self,
        *,
        store: ProgramStore,
        programs: PlainPrograms,
        models: ServedModels,
        cache: AnswerCache | None = None,
        hosting: Hosting | None = None,
    ) -> None:
        self._programs = programs
        self._hosting = hosting
        self._models = models
        self._cache = cache
        self._versions = KnownVersions(store)

    async def produce(self, run: Run) -> AsyncGenerator[list[RunFact], None]:
        """Yield what a run's program does, as it does it; the last fact is ``Predicted`` or ``Failed``.

        Closed or cancelled, it ends the program and its connections at once. Cancelled, it first yields what the run
        has cost so far.
        """
        progress = Progress()
        carrying = asyncio.create_task(self._carry_out(run, progress))
        carrying.add_done_callback(lambda _task: progress.end())  # also when it was cancelled before it began
        try:
            while facts := await progress.take():
                yield facts
        except asyncio.CancelledError:
            await _ended(carrying)
            if facts := await progress.take():
                yield facts
            raise
        finally:
            await _ended(carrying)

    async def settle(self) -> None:
        """Wait until everything that the runs left behind is kept."""
        if self._cache is not None:
            await self._cache.kept()

    async def aclose(self) -> None:
        """Close every connection and end every host; no run may go on."""
        await self.settle()
        if self._hosting is not None:
            await self._hosting.aclose()
        await self._models.aclose()

    async def _carry_out(self, run: Run, progress: Progress) -> None:
        prepared: _Prepared | None = None
        try:
            prepared = await self._prepared(run, progress)
            progress.add(_predicted(prepared, await prepared.turn.predict(run)))
        except Exception as error:  # noqa: BLE001  # outermost frame of a program: whatever went wrong is the run's end
            is_cut_off = prepared is not None and prepared.calls.finish_reason == "length"
            failed = run_error(error, run_id=run.run_id, is_cut_off=is_cut_off)
            progress.add(*_cost(prepared), Failed(error=failed, partial=progress.has_text))
        except asyncio.CancelledError:
            progress.add(*_cost(prepared))
            raise

    async def _prepared(self, run: Run, progress: Progress) -> _Prepared:
        version = await self._versions.of(run)
        model = self._models.of(version.lm)
        target = model.engine.target
        calls = RunCalls(
            tenant=run.tenant,
            meter=Meter({ROLE: version.lm.name}, prices_as_of=target.prices_as_of),
            cache=self._cache,
            cache_use=run.options.cache,
            line=self._models.line(run.tenant, target),
        )
        if version.hosting == "confined":
            if self._hosting is None:
                raise ConfigurationError("This worker may not run the program's code; its log says what is missing.")
            return _Prepared(version, self._hosting.turn(version, model, calls, progress), calls)
        program = await self._programs.of(version)
        watch = ProgramWatch(program, progress)
        calls.listen = watch.listen
        return _Prepared(version, PlainTurn(version, program, model.for_options(run.options), watch, calls), calls)


def _predicted(prepared: _Prepared, prediction: Mapping[str, JsonValue]) -> Predicted:
    calls = prepared.calls
    return Predicted(
        prediction=dict(prediction),
        answer=answer_of(prediction, prepared.version),
        usage=calls.meter.usage(),
        cached=calls.is_cached,
        finish_reason=calls.finish_reason,
    )


def _cost(prepared: _Prepared | None) -> list[RunFact]:
    return [] if prepared is None else [UsageCounted(usage=prepared.calls.meter.usage())]


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
