"""``POST /v1/chat/completions``: a program answers whoever speaks to OpenAI's API."""

from typing import Any

import pydantic_core
from fastapi import APIRouter, Response

from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.dialects.openai_chat import OpenAIChat
from dspy_service.api.invoking import Invoking, TheInvoking
from dspy_service.api.openai.bodies import ChatCompletionRequest
from dspy_service.api.openai.completions import completion
from dspy_service.api.openai.errors import OpenAIRoute, explained
from dspy_service.api.run_answer import answered
from dspy_service.api.run_stream import run_stream
from dspy_service.api.sse import MEDIA_TYPE
from dspy_service.domain.serving.chat_fields import fields_of
from dspy_service.domain.serving.openai_mapping import AskedRun, ReplyShape, asked_run, wanted_outputs
from dspy_service.domain.serving.openai_messages import read_messages, read_talk
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.usecases.serving.read_run import await_run
from dspy_service.usecases.serving.resolve_program import resolve_program
from dspy_service.usecases.serving.start_run import start_run

router = APIRouter(prefix="/chat/completions", tags=["openai"], route_class=OpenAIRoute)

_EXAMPLES = {
    "chat": {
        "summary": "One question",
        "value": {"model": "support-answers", "messages": [{"role": "user", "content": "Where is my parcel?"}]},
    }
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A chat completion; with `stream` its chunks and `[DONE]`. `dspy` holds what the program "
        "answered in all its fields, `warnings` what of the request was ignored.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


@router.post(
    "",
    summary="Ask a program as a model",
    response_model=dict[str, Any],
    responses={**explained(400, 404, 409, 413, 500, 502, 504), **_STREAM},
    openapi_extra=json_body(ChatCompletionRequest, _EXAMPLES),
)
async def chat_completion(invoking: TheInvoking) -> Response:
    """Answer as OpenAI's API does.

    The last message goes to the program's question field, those before it to its history, and the answer field is the
    reply; `GET /v1/models` names them. The program's other inputs stand in `inputs`.
    """
    services = invoking.services
    body = await invoking.request.body()
    asked = await parse_body(body, ChatCompletionRequest, max_depth=services.settings.max_json_depth)
    ignored = asked.ignored()
    version = await resolve_program(asked.model, tenant=invoking.caller.tenant, programs=services.programs)
    outputs = wanted_outputs(asked.response_format, version.interface, path="response_format")
    shape = ReplyShape(fields_of(version), version.interface, outputs)
    mapped = _mapped(asked, version)
    invocation = invoking.invocation(
        version, mapped.inputs, body=body, options=asked.options(mapped.instructions), inputs_path="inputs"
    )
    run, _ = await start_run(invocation, runs=services.runs)
    warnings = (*mapped.warnings, *ignored)
    if not asked.stream:
        return await answered(invoking.request, _whole(invoking, run, shape, version, warnings))
    dialect = OpenAIChat(
        run,
        shape,
        digest=version.digest,
        include_usage=asked.stream_options is not None and bool(asked.stream_options.include_usage),
        warnings=warnings,
    )
    return run_stream(run, dialect, request=invoking.request, services=services, is_for_browsers=False)


def _mapped(asked: ChatCompletionRequest, version: ProgramVersion) -> AskedRun:
    talk = read_talk(read_messages(asked.messages, path="messages"), path="messages")
    return asked_run(talk, version, path="messages", inputs=asked.inputs or {})


async def _whole(
    invoking: Invoking, run: Run, shape: ReplyShape, version: ProgramVersion, warnings: tuple[str, ...]
) -> Response:
    ending = await await_run(run, runs=invoking.services.runs)
    predicted = ending.prediction_of(run.run_id)
    answer = completion(run, predicted, shape=shape, digest=version.digest, warnings=warnings)
    return Response(pydantic_core.to_json(answer), media_type="application/json", headers={"x-run-id": run.run_id})
