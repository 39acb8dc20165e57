"""Refuses a query with names that mean nothing here, or in which one name stands twice."""

import re
from collections.abc import Sequence

from fastapi import Request

from dspy_service.domain.catalogue.kwargs import nearest
from dspy_service.domain.errors import InvalidRequestError

_METADATA = re.compile(r"metadata\[(.{1,128})\]", re.DOTALL)
_MAX_METADATA_PAIRS = 16


class KnownNames:
    """For the ``dependencies`` of a route that has query parameters.

    Args:
        names: What it takes.
        metadata: Whether ``metadata[<key>]`` is taken too.
    """

    def __init__(self, *names: str, metadata: bool = False) -> None:
        self._names = names
        self._metadata = metadata

    async def __call__(self, request: Request) -> None:
        """Check the names of a query. Raises InvalidRequestError."""
        sent = [name for name, _ in request.query_params.multi_items()]
        for name in sent:
            if sent.count(name) > 1:  # which of the two counts, readers would have to guess
                raise InvalidRequestError.of(name[:100], "is given more than once")
            if name not in self._names and not (self._metadata and _METADATA.fullmatch(name)):
                raise InvalidRequestError.of(
                    name[:100], f"is not a parameter of this route{nearest(name, self._names)}"
                )


async def metadata_filter(request: Request) -> dict[str, str]:
    """Return the pairs of ``metadata[<key>]=<value>``. Raises InvalidRequestError when there are too many."""
    found = [(_METADATA.fullmatch(name), value) for name, value in request.query_params.multi_items()]
    pairs = {match[1]: value for match, value in found if match is not None}
    if len(pairs) > _MAX_METADATA_PAIRS:
        raise InvalidRequestError.of("metadata", f"holds more than {_MAX_METADATA_PAIRS} pairs, which no job has")
    return pairs


def metadata_parameter() -> dict[str, Sequence[object]]:
    """Return what the OpenAPI document says about ``metadata[<key>]``."""
    return {
        "parameters": [
            {
                "name": "metadata",
                "in": "query",
                "required": False,
                "style": "deepObject",
                "explode": True,
                "description": "`metadata[key]=value`: pairs that a job's metadata must hold.",
                "schema": {
                    "type": "object",
                    "maxProperties": _MAX_METADATA_PAIRS,
                    "propertyNames": {"minLength": 1, "maxLength": 128},
                    "additionalProperties": {"type": "string"},
                },
            }
        ]
    }
