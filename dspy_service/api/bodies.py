"""Reads a request's body: from raw bytes to a model, or a list of what is wrong."""

import asyncio
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from dspy_service.api.json_body import check_json
from dspy_service.api.problems import friendly
from dspy_service.domain.errors import InvalidRequestError

ModelT = TypeVar("ModelT", bound=BaseModel)


_LARGE_BODY_BYTES = 256 * 1024
"""From here on parsing takes tens of milliseconds, and other requests must not wait for it."""


async def parse_body(raw: bytes, model: type[ModelT], *, max_depth: int) -> ModelT:
    """Validate straight from the bytes, which is three times as fast as through Python objects.

    Raises:
        InvalidRequestError: the body is not JSON, nested deeper than ``max_depth``, or not a ``model``.
    """
    if len(raw) > _LARGE_BODY_BYTES:
        return await asyncio.to_thread(_parse, raw, model, max_depth)
    return _parse(raw, model, max_depth)


def _parse(raw: bytes, model: type[ModelT], max_depth: int) -> ModelT:
    check_json(raw, max_depth=max_depth)
    try:
        parsed: ModelT = _adapter(model).validate_json(raw)
    except ValidationError as error:
        fields = tuple(field.alias or name for name, field in model.model_fields.items())
        raise InvalidRequestError(friendly(error.errors(include_url=False, include_input=False), fields)) from None
    return parsed


def json_body(model: type[BaseModel], examples: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the OpenAPI document says about a body that FastAPI does not parse."""
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    if examples:
        content["examples"] = examples
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


@cache
def _adapter(model: type[ModelT]) -> TypeAdapter[ModelT]:
    return TypeAdapter(model)
