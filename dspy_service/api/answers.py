"""The JSON answer of a route that did what it was asked."""

from collections.abc import Mapping

from fastapi import Response
from pydantic import BaseModel


def json_answer(view: BaseModel, *, headers: Mapping[str, str] | None = None) -> Response:
    """Write a view once, straight to bytes; FastAPI would validate it again and walk through Python objects."""
    return Response(view.model_dump_json(), media_type="application/json", headers=headers)
