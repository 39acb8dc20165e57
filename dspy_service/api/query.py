"""Refuses a query in which one name stands twice: which of the two counts, readers would have to guess."""

from fastapi import Depends, Request

from dspy_service.domain.errors import InvalidRequestError


async def _each_name_once(request: Request) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequestError.of(name[:100], "is given more than once")


EACH_NAME_ONCE = Depends(_each_name_once)
"""For the ``dependencies`` of a route that has query parameters."""
