"""Reads the body of a prediction: input fields flat, or with options beside them, or a batch of them."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, JsonValue, RootModel, ValidationError

from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.problems import friendly
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.run import OnDisconnect, RunOptions

MAX_BATCH = 100


class PredictRequest(Schema):
    """The body of a prediction that says more than its inputs."""

    inputs: Annotated[
        dict[str, JsonValue] | None, Field(description="Input field to value, as the program's signature has them.")
    ] = None
    batch: Annotated[
        list[dict[str, JsonValue]] | None,
        Field(
            min_length=1, max_length=MAX_BATCH, description="Instead of `inputs`: many of them, answered in this order."
        ),
    ] = None
    options: Annotated[RunOptions, Field(description="How the program is called.")] = Field(default_factory=RunOptions)
    on_disconnect: Annotated[
        OnDisconnect,
        Field(description="What happens when nobody reads the answer any more: `cancel` after half a minute."),
    ] = "cancel"


def predict_body(examples: dict[str, Any]) -> dict[str, Any]:
    """Return what the OpenAPI document says about the body."""
    body = json_body(PredictRequest, examples)
    content = body["requestBody"]["content"]["application/json"]
    fields = {"type": "object", "description": "The input fields themselves.", "additionalProperties": True}
    content["schema"] = {"anyOf": [content["schema"], fields]}
    return body


class _Fields(RootModel[dict[str, JsonValue]]):
    """Any JSON object."""


_BESIDE = frozenset(PredictRequest.model_fields)


@dataclass(frozen=True)
class AskedPrediction:
    """A body that was read."""

    request: PredictRequest
    inputs_path: str
    """Where in the body its inputs stand; empty: they are the body."""
    raw: bytes


async def parse_predict(raw: bytes, *, max_depth: int) -> AskedPrediction:
    """Read what was asked.

    A body that holds an object ``inputs``, or a list ``batch``, and beside it only what a request may hold, is one; any
    other is the input fields themselves. So a program with a field of such a name is called by ``inputs``.

    Raises:
        InvalidRequestError: the body is no JSON object, or no request.
    """
    fields = (await parse_body(raw, _Fields, max_depth=max_depth)).root
    is_request = isinstance(fields.get("inputs"), dict) or isinstance(fields.get("batch"), list)
    if not is_request or not _BESIDE.issuperset(fields):
        return AskedPrediction(PredictRequest.model_construct(inputs=fields), "", raw)
    try:
        asked = PredictRequest.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError(friendly(error.errors(include_url=False, include_input=False))) from None
    if (asked.inputs is None) == (asked.batch is None):
        raise InvalidRequestError.of("batch", "stands instead of `inputs`; send one of them")
    return AskedPrediction(asked, "inputs", raw)
