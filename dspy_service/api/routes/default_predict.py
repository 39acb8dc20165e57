"""``POST /predict``, ``/predict/stream`` and ``/query``: the default program, in the forms of DSPy's tutorials."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field, JsonValue

from dspy_service.api.answers import json_answer
from dspy_service.api.dialects.seed001 import Seed001Predict, Seed001Query
from dspy_service.api.envelope import guarded
from dspy_service.api.invoking import Invoking, TheInvoking
from dspy_service.api.predict_body import predict_body
from dspy_service.api.predicting import asked_of, awaited, start_prediction
from dspy_service.api.run_answer import answered
from dspy_service.api.run_stream import run_stream
from dspy_service.api.sse import MEDIA_TYPE
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.chat_fields import fields_of
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.usecases.serving.default_program import default_program

router = APIRouter(tags=["predict"])

_EXAMPLES = {"text": {"summary": "A text, for the program's question", "value": {"text": "Where is my parcel?"}}}
_BODY = predict_body(_EXAMPLES)
_BEFORE_THE_RUN = (400, 404, 409, 413, 422)


class PredictAnswer(Schema):
    """The answer of ``POST /predict``."""

    status: Literal["success"] = "success"
    data: Annotated[dict[str, JsonValue], Field(description="Output field to value.")]


def _streams(what: str) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": {"type": "string"}}}
    return {200: {"description": f"`data` alone: {what}, then `[DONE]`.", "content": content}}


@router.post(
    "/predict",
    summary="Call the default program",
    response_model=PredictAnswer,
    responses=guarded(*_BEFORE_THE_RUN, 500, 502, 504),
    openapi_extra=_BODY,
)
async def predict(invoking: TheInvoking) -> Response:
    """Answer with the prediction. The body is `{"text": …}`, or what `POST /v1/programs/{name}/predict` takes."""
    run, headers = await _started(invoking, await _program(invoking))
    return await answered(invoking.request, _whole(invoking, run, headers))


@router.post(
    "/predict/stream",
    summary="Call the default program and read along",
    response_class=Response,
    responses={**guarded(*_BEFORE_THE_RUN), **_streams('`{"chunk", "field"}`, `{"prediction"}`')},
    openapi_extra=_BODY,
)
async def stream(invoking: TheInvoking) -> Response:
    """Tell the text as the model writes it."""
    run, headers = await _started(invoking, await _program(invoking))
    return run_stream(run, Seed001Predict(), request=invoking.request, services=invoking.services, headers=headers)


@router.post(
    "/query",
    summary="Ask the default program and read along",
    response_class=Response,
    responses={
        **guarded(*_BEFORE_THE_RUN),
        **_streams("`type` is `token` (`chunk`), `status` (`msg`), `result` (`answer`) or `error` (`message`)"),
    },
    openapi_extra=_BODY,
)
async def query(invoking: TheInvoking) -> Response:
    """Tell the answer as the model writes it, and what is being done."""
    version = await _program(invoking)
    run, headers = await _started(invoking, version)
    dialect = Seed001Query(fields_of(version).answer)
    return run_stream(run, dialect, request=invoking.request, services=invoking.services, headers=headers)


async def _program(invoking: Invoking) -> ProgramVersion:
    services = invoking.services
    return await default_program(
        services.settings.default_program, tenant=invoking.caller.tenant, programs=services.programs
    )


async def _started(invoking: Invoking, version: ProgramVersion) -> tuple[Run, Mapping[str, str]]:
    return await start_prediction(invoking, version, await asked_of(invoking), takes_text=True)


async def _whole(invoking: Invoking, run: Run, headers: Mapping[str, str]) -> Response:
    found = await awaited(invoking, run)
    return json_answer(PredictAnswer(data=found.prediction), headers=headers)
