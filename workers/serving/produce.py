"""Carries a run out: the program in a task of its own, and what it does as facts for whoever keeps the run's log."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import dspy

from dspy_service.domain.serving.program import AdapterName, ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact, UsageCounted
from dspy_service.ports.serving.programs import ProgramStore
from workers.lm.meter import Meter
from workers.serving.answer_cache import ROLE, AnswerCache
from workers.serving.callbacks import ProgramWatch
from workers.serving.lm import CALLS, RunCalls
from workers.serving.models import ServedModels
from workers.serving.plain_adapter import PlainTextAdapter
from workers.serving.plain_programs import PlainPrograms
from workers.serving.plain_values import answer_of, as_inputs, as_json
from workers.serving.progress import Progress
from workers.serving.run_errors import run_error

_MAX_VERSIONS: Final = 1_024
_ADAPTERS: Final[Mapping[AdapterName, dspy.Adapter]] = {
    "chat": dspy.ChatAdapter(),
    "json": dspy.JSONAdapter(),
    "xml": dspy.XMLAdapter(),
    "text": PlainTextAdapter(),
}


class Producer:
    """Carries out the runs of a process, on one event loop; runs share programs and models and nothing else.

    Args:
        store: Knows the versions.
        programs: Has their programs.
        models: Has their models.
        cache: Answers of the tenants' earlier calls; None: none are kept.
    """

    def __init__(
        self, *, store: ProgramStore, programs: PlainPrograms, models: ServedModels, cache: AnswerCache | None = None
    ) -> None:
        self._store = store
        self._programs = programs
        self._models = models
        self._cache = cache
        self._versions: OrderedDict[tuple[str, str, int], ProgramVersion] = OrderedDict()

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
        """Close every connection; no run may go on."""
        await self.settle()
        await self._models.aclose()

    async def _carry_out(self, run: Run, progress: Progress) -> None:
        turn: _Turn | None = None
        try:
            turn = await self._prepared(run, progress)
            progress.add(await turn.carry_out(run))
        except Exception as error:  # noqa: BLE001  # outermost frame of a program: whatever went wrong is the run's end
            is_cut_off = turn is not None and turn.calls.finish_reason == "length"
            failed = run_error(error, run_id=run.run_id, is_cut_off=is_cut_off)
            progress.add(*_cost(turn), Failed(error=failed, partial=progress.has_text))
        except asyncio.CancelledError:
            progress.add(*_cost(turn))
            raise

    async def _prepared(self, run: Run, progress: Progress) -> "_Turn":
        version = await self._version(run)
        program = await self._programs.of(version)
        model = self._models.of(version.lm)
        target = model.engine.target
        watch = ProgramWatch(program, progress)
        calls = RunCalls(
            tenant=run.tenant,
            meter=Meter({ROLE: version.lm.name}, prices_as_of=target.prices_as_of),
            listen=watch.listen,
            cache=self._cache,
            cache_use=run.options.cache,
            line=self._models.line(run.tenant, target),
        )
        return _Turn(version, program, model.for_options(run.options), watch, calls)

    async def _version(self, run: Run) -> ProgramVersion:
        """Return a run's version; all of it that matters here never changes."""
        key = (run.tenant, run.program, run.version)
        if key not in self._versions:
            self._versions[key] = await self._store.version(*key)
            if len(self._versions) > _MAX_VERSIONS:
                self._versions.popitem(last=False)
        self._versions.move_to_end(key)
        return self._versions[key]


class _Turn:
    """A program with all that it needs for one run."""

    def __init__(
        self, version: ProgramVersion, program: dspy.Module, lm: dspy.LM, watch: ProgramWatch, calls: RunCalls
    ) -> None:
        self.calls = calls
        self._version = version
        self._program = program
        self._lm = lm
        self._watch = watch

    async def carry_out(self, run: Run) -> Predicted:
        """Call the program in this task, whose context becomes the run's."""
        CALLS.set(self.calls)
        inputs = {**as_inputs(run.inputs, self._version.interface), **self._more(run)}
        with dspy.context(
            lm=self._lm,
            adapter=_ADAPTERS[self._version.adapter],
            callbacks=[self._watch],
            disable_history=True,
            trace=None,  # else DSPy keeps every input and output of the process in one list
            warn_on_type_mismatch=False,  # the inputs were checked, and the warning would log them
        ):
            prediction = await self._program.acall(**inputs)
        values = as_json(prediction)
        names = [field.name for field in self._version.interface.outputs if field.name in values]
        return Predicted(
            prediction={name: values[name] for name in names},
            answer=answer_of(values, self._version),
            usage=self.calls.meter.usage(),
            cached=self.calls.is_cached,
            finish_reason=self.calls.finish_reason,
        )

    def _more(self, run: Run) -> dict[str, Any]:
        """Return the program's signature with a run's own instructions, where the version allows them."""
        if not run.options.instructions or not self._version.chat.allow_system:
            return {}
        (predictor,) = self._program.predictors()
        return {"signature": predictor.signature.append_instructions(run.options.instructions)}


def _cost(turn: _Turn | None) -> list[RunFact]:
    return [] if turn is None else [UsageCounted(usage=turn.calls.meter.usage())]


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
