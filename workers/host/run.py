"""One run of the hosted program, from its inputs to its prediction or to what went wrong."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Self

import dspy
import pydantic_core
from dspy.utils.exceptions import AdapterParseError, LMError

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame
from dspy_service.domain.serving.run_events import RunFact
from dspy_service.domain.spec import ModelSettings
from workers.host.link import ServiceLink
from workers.host.models import Calls, RunEngine, RunStoppedError, build_lm
from workers.host.values import InputRefusedError, InputTypes
from workers.runner.failures import describe
from workers.serving.adapters import ADAPTERS
from workers.serving.callbacks import ProgramWatch
from workers.serving.plain_values import as_json

_MAX_CAUSES: Final = 10
_THREADS: Final = ThreadPoolExecutor(64, thread_name_prefix="run")
"""For programs without ``aforward``: as many of their runs go on at a time. None is started before one is needed."""


@dataclass(frozen=True)
class Program:
    """The program that this process serves, shared by its runs."""

    module: dspy.Module
    types: InputTypes
    adapter: dspy.Adapter
    settings: ModelSettings
    capabilities: Mapping[str, Any]

    @classmethod
    def of(cls, module: dspy.Module, head: Frame) -> Self:
        """Return a program as its ``program`` frame describes it."""
        settings = ModelSettings.model_validate_json(pydantic_core.to_json(head["model"]))
        return cls(module, InputTypes(module), ADAPTERS[head["adapter"]], settings, head["capabilities"])

    @property
    def is_asynchronous(self) -> bool:
        """Whether it can be awaited; else each of its runs takes a thread."""
        return callable(getattr(self.module, "aforward", None))


class _Told:
    """Sends the facts of one run, from whatever thread they come."""

    def __init__(self, run: int, link: ServiceLink) -> None:
        self._run = run
        self._link = link

    def add(self, *facts: RunFact) -> None:
        """See TakesFacts."""
        if facts:
            self._link.send({"t": "facts", "run": self._run, "facts": [fact.model_dump(mode="json") for fact in facts]})


async def carry_out(frame: Frame, program: Program, calls: Calls, link: ServiceLink) -> None:
    """Carry a ``run`` frame out and send its last frame, whatever happens."""
    number = frame["run"]
    try:
        end = await _ended(frame, program, calls, link)
        link.send({**end, "run": number})
    except ProtocolError as error:
        link.send({"t": "failed", "run": number, "kind": "program", "message": str(error)})


async def _ended(frame: Frame, program: Program, calls: Calls, link: ServiceLink) -> Frame:
    watch = ProgramWatch(program.module, _Told(frame["run"], link))
    engine = RunEngine(frame["run"], calls, watch, program.capabilities)
    try:
        inputs = {**program.types.read(frame["inputs"]), **_more(program, frame["instructions"])}
        with dspy.context(
            lm=build_lm(program.settings, frame["options"], engine, link),
            adapter=program.adapter,
            callbacks=[watch],
            disable_history=True,
            trace=[],  # of this run alone, for BestOfN and Refine; DSPy's own list is that of the whole process
            warn_on_type_mismatch=False,  # the inputs were checked, and the warning would log them
        ):
            prediction = await _called(program, inputs, engine)
        if not isinstance(prediction, dspy.Prediction):
            message = f"The program returned a {type(prediction).__name__}, not a dspy.Prediction."
            raise TypeError(message)  # noqa: TRY301  # as any other mistake of the program
        return {"t": "done", "prediction": as_json(prediction)}
    except (asyncio.CancelledError, RunStoppedError):
        return {"t": "failed", "kind": "stopped", "message": ""}
    except BaseException as error:  # noqa: BLE001  # outermost frame of the program, which may raise anything
        return _failed(error)
    finally:
        engine.stop()


async def _called(program: Program, inputs: Mapping[str, Any], engine: RunEngine) -> Any:  # noqa: ANN401  # the program's
    if program.is_asynchronous:
        return await program.module.acall(**inputs)
    return await _on_thread(lambda: program.module(**inputs), engine)


async def _on_thread(call: Callable[[], Any], engine: RunEngine) -> Any:  # noqa: ANN401  # the program's
    """Call in a thread that has this task's context; cancelled, it ends only when the thread has done with it."""
    calling = _THREADS.submit(copy_context().run, call)
    try:
        return await asyncio.wrap_future(calling)
    except asyncio.CancelledError:  # it has cancelled a call that no thread had begun
        engine.stop()
        if not calling.cancelled():
            ended = asyncio.wrap_future(calling)
            await asyncio.wait({ended})
            ended.exception()  # looked at: it is that the run was stopped
        raise


def _more(program: Program, instructions: str | None) -> dict[str, Any]:
    """Return the program's signature with a run's own instructions; only versions of one predictor allow them."""
    if not instructions:
        return {}
    (predictor,) = program.module.predictors()
    return {"signature": predictor.signature.append_instructions(instructions)}


def _failed(error: BaseException) -> Frame:
    if isinstance(error, InputRefusedError):
        return {"t": "failed", "kind": "input", "field": error.field, "message": str(error)}
    for cause in islice(_chain(error), _MAX_CAUSES):
        if isinstance(cause, LMError) and (number := getattr(cause, "call_number", None)) is not None:
            return {"t": "failed", "kind": "lm", "id": number, "message": describe(error)}
    kind = "adapter_parse" if isinstance(error, AdapterParseError) else "program"
    return {"t": "failed", "kind": kind, "message": describe(error)}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
