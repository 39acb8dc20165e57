"""``POST /programs/{name}/predict``: call a program, once or many times, at once or piece by piece."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import JSONResponse

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import ProgramsReader
from dspy_service.api.dialects.seed001 import Seed001Predict
from dspy_service.api.dialects.v1 import V1
from dspy_service.api.envelope import guarded
from dspy_service.api.invoking import Invoking, TheInvoking
from dspy_service.api.predict_body import AskedPrediction, predict_body
from dspy_service.api.predicting import asked_of, awaited, predict_batch, start_prediction
from dspy_service.api.program_document import program_document
from dspy_service.api.query import KnownNames
from dspy_service.api.run_answer import answered
from dspy_service.api.run_stream import run_stream
from dspy_service.api.services import TheServices
from dspy_service.api.sse import MEDIA_TYPE
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run_views import BatchView, PredictionView
from dspy_service.usecases.serving.resolve_program import resolve_program

router = APIRouter(prefix="/programs", tags=["predict"])

_EXAMPLES = {
    "flat": {"summary": "The input fields", "value": {"question": "Where is my parcel?"}},
    "options": {
        "summary": "With options",
        "value": {"inputs": {"question": "Where is my parcel?"}, "options": {"temperature": 0.2, "max_tokens": 200}},
    },
    "batch": {
        "summary": "Many at once",
        "value": {"batch": [{"question": "Where is my parcel?"}, {"question": "May I send it back?"}]},
    },
}
_BODY = predict_body(_EXAMPLES)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`start`, then `status`, `token`, `reasoning`, `replace`, `field_done` and `usage` as they "
        "come, then `final` with the whole prediction or `error` or `cancelled`, and `end`. `id` is a number: "
        "`GET /v1/runs/{run_id}/events` goes on behind it when the connection breaks. For each field, the text of its "
        "last `replace` with the `token` texts behind it is its final value.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}

Reference = Annotated[
    str, Path(description="A program's name; `name@alias` or `name@v3` for another version than `production`.")
]
_ERRORS = (400, 404, 409, 413, 422, 500, 502, 504)


@router.post(
    "/{name}/predict",
    summary="Call a program",
    response_model=PredictionView | BatchView,
    responses=guarded(*_ERRORS),
    openapi_extra=_BODY,
)
async def predict(invoking: TheInvoking, name: Reference) -> Response:
    """Answer with the prediction once it is whole.

    The body is the input fields, or `inputs` with `options` beside them. With `batch` instead of `inputs`, every item
    is a run of its own, and what is wrong with one stands in its place. When the client closes the connection, the run
    ends half a minute later, unless `on_disconnect` is `continue`; `GET /v1/runs/{run_id}` has its prediction.
    """
    version = await _version(invoking, name)
    asked = await asked_of(invoking)
    return await answered(invoking.request, _whole(invoking, version, asked))


@router.post(
    "/{name}/predict/stream",
    summary="Call a program and read along",
    response_class=Response,
    responses={**guarded(400, 404, 409, 413, 422), **_STREAM},
    openapi_extra=_BODY,
    dependencies=[Depends(KnownNames("format"))],
)
async def stream(
    invoking: TheInvoking,
    name: Reference,
    form: Annotated[
        Literal["v1", "seed001"], Query(alias="format", description="Of the messages; `seed001`: as DSPy writes them.")
    ] = "v1",
) -> Response:
    """Tell everything that happens as server-sent events, tokens as the model writes them."""
    version = await _version(invoking, name)
    run, headers = await start_prediction(invoking, version, await asked_of(invoking))
    dialect = V1(run.run_id) if form == "v1" else Seed001Predict()
    return run_stream(run, dialect, request=invoking.request, services=invoking.services, headers=headers)


@router.get(
    "/{name}/openapi.json",
    summary="What a program takes and gives, as OpenAPI",
    response_class=JSONResponse,
    responses=guarded(404, 409),
)
async def openapi(caller: ProgramsReader, name: Reference, services: TheServices) -> Response:
    """Return a document of its routes alone, with the schemas of its own fields."""
    version = await resolve_program(name, tenant=caller.tenant, programs=services.programs)
    return JSONResponse(program_document(name, version))


async def _version(invoking: Invoking, name: str) -> ProgramVersion:
    return await resolve_program(name, tenant=invoking.caller.tenant, programs=invoking.services.programs)


async def _whole(invoking: Invoking, version: ProgramVersion, asked: AskedPrediction) -> Response:
    if asked.request.batch is not None:
        return json_answer(await predict_batch(invoking, version, asked, asked.request.batch))
    run, headers = await start_prediction(invoking, version, asked)
    return json_answer(await awaited(invoking, run), headers=headers)
