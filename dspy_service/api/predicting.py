"""Predictions for whoever asks over HTTP: one, one that is read along, or a batch."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from dspy_service.api.errors import envelope_of
from dspy_service.api.invoking import Invoking
from dspy_service.api.predict_body import AskedPrediction, parse_predict
from dspy_service.domain.errors import InvalidRequestError, ServiceError
from dspy_service.domain.serving.chat_fields import fields_of
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_views import BatchItem, BatchView, ItemProblem, PredictionView, view_prediction
from dspy_service.usecases.serving.read_run import await_run
from dspy_service.usecases.serving.start_run import Invocation, check_idempotency_key, start_run

_TEXT = "text"


async def asked_of(invoking: Invoking) -> AskedPrediction:
    """Read the request's body. Raises InvalidRequestError."""
    return await parse_predict(await invoking.request.body(), max_depth=invoking.services.settings.max_json_depth)


async def start_prediction(
    invoking: Invoking, version: ProgramVersion, asked: AskedPrediction, *, takes_text: bool = False
) -> tuple[Run, Mapping[str, str]]:
    """Start the run of a single prediction, and return it with the headers that tell of it.

    Args:
        invoking: Who asks, and how.
        version: What is called.
        asked: With what.
        takes_text: Whether a body ``{"text": …}`` means the question, whatever its field is called.

    Raises:
        InvalidRequestError: it is a batch, or the inputs are not what the program takes.
    """
    inputs = asked.request.inputs
    if inputs is None:
        raise InvalidRequestError.of("batch", "is taken by POST /programs/{name}/predict alone; send `inputs`")
    if takes_text:
        inputs = _as_question(inputs, version)
    run, is_new = await start_run(_invocation(invoking, version, asked, inputs), runs=invoking.services.runs)
    return run, {"x-run-id": run.run_id, **({} if is_new else {"idempotency-replayed": "true"})}


async def predict_batch(
    invoking: Invoking, version: ProgramVersion, asked: AskedPrediction, items: Sequence[Mapping[str, JsonValue]]
) -> BatchView:
    """Call a program with many inputs; what is wrong with one stands in its place."""
    check_idempotency_key(invoking.idempotency_key)
    whole = _invocation(invoking, version, asked, {})
    started = [await _started(whole, index, inputs, invoking) for index, inputs in enumerate(items)]
    found = await asyncio.gather(*(_item(index, each, invoking) for index, each in enumerate(started)))
    return BatchView(data=found, failed=sum(item.problem is not None for item in found))


async def awaited(invoking: Invoking, run: Run) -> PredictionView:
    """Return the prediction of a run, once it is whole. Raises RunFailedError."""
    ending = await await_run(run, runs=invoking.services.runs)
    return view_prediction(run, ending.prediction_of(run.run_id), ending.status)


def _invocation(
    invoking: Invoking, version: ProgramVersion, asked: AskedPrediction, inputs: Mapping[str, JsonValue]
) -> Invocation:
    return invoking.invocation(
        version,
        inputs,
        body=asked.raw,
        options=asked.request.options,
        on_disconnect=asked.request.on_disconnect,
        inputs_path=asked.inputs_path,
    )


async def _started(
    whole: Invocation, index: int, inputs: Mapping[str, JsonValue], invoking: Invoking
) -> Run | ServiceError:
    """Start one item; what is wrong with it is no reason not to start the others."""
    key = whole.idempotency_key
    item = replace(
        whole,
        inputs=inputs,
        inputs_path=f"batch.{index}",
        idempotency_key=None if key is None else hashlib.sha256(f"{key}\0{index}".encode()).hexdigest(),
    )
    try:
        run, _ = await start_run(item, runs=invoking.services.runs)
    except ServiceError as error:
        return error
    return run


async def _item(index: int, started: Run | ServiceError, invoking: Invoking) -> BatchItem:
    if isinstance(started, ServiceError):
        return BatchItem(index=index, problem=_problem(started, None))
    try:
        return BatchItem(index=index, result=await awaited(invoking, started))
    except ServiceError as error:
        return BatchItem(index=index, problem=_problem(error, started.run_id))


def _problem(error: ServiceError, run_id: str | None) -> ItemProblem:
    code, detail = envelope_of(error)
    return ItemProblem(error=code, detail=detail, run_id=run_id)


def _as_question(inputs: dict[str, JsonValue], version: ProgramVersion) -> dict[str, JsonValue]:
    question = fields_of(version).question
    takes_text = any(field.name == _TEXT for field in version.interface.inputs)
    if set(inputs) != {_TEXT} or takes_text or question is None:
        return inputs
    return {question: inputs[_TEXT]}
