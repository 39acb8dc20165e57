"""The HTTP exchanges about calls of programs, and the runs that they make, as values."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dspy_service.client.calls import Call, answer_of, as_object, verbatim
from dspy_service.client.errors import SubmissionError
from dspy_service.domain.serving.run_views import BatchView, PredictionView, RunEventPage, RunView
from dspy_service.domain.serving.usage_view import ServingUsageView


def predict(name: str, body: Mapping[str, object], *, idempotency_key: str) -> Call[PredictionView]:
    """Call a program; the key makes it safe to send twice.

    Raises:
        SubmissionError: the body holds something that JSON does not, such as NaN.
    """
    content, headers = _json(body, idempotency_key)
    return Call("POST", predict_path(name), answer_of(PredictionView), content=content, headers=headers)


def predict_batch(name: str, items: Sequence[Mapping[str, object]], *, idempotency_key: str) -> Call[BatchView]:
    """Call a program with many inputs. Raises as ``predict``."""
    content, headers = _json({"batch": [dict(item) for item in items]}, idempotency_key)
    return Call("POST", predict_path(name), answer_of(BatchView), content=content, headers=headers)


def predict_stream(name: str, body: Mapping[str, object], *, idempotency_key: str) -> Call[bytes]:
    """Call a program whose run is read along: see ``RunFollowing``. Raises as ``predict``."""
    content, headers = _json(body, idempotency_key)
    return Call("POST", f"{predict_path(name)}/stream", verbatim, content=content, headers=headers)


def program_document(name: str) -> Call[dict[str, Any]]:
    """Ask for a program's OpenAPI document."""
    return Call("GET", f"/programs/{quote(name, safe='@')}/openapi.json", as_object)


def run(run_id: str) -> Call[RunView]:
    """Ask for a run."""
    return Call("GET", run_path(run_id), answer_of(RunView))


def run_events(run_id: str, *, after: int, limit: int) -> Call[RunEventPage]:
    """Ask for a page of a run's events."""
    params = {"starting_after": after, "limit": limit}
    return Call("GET", run_path(run_id, "/events"), answer_of(RunEventPage), params=params)


def cancel_run(run_id: str) -> Call[RunView]:
    """End a run; again changes nothing."""
    return Call("POST", run_path(run_id, "/cancel"), answer_of(RunView), answers=frozenset({202}))


def usage(params: Mapping[str, str | int]) -> Call[ServingUsageView]:
    """Ask what runs have cost."""
    return Call("GET", "/usage", answer_of(ServingUsageView), params=params)


def predict_path(name: str) -> str:
    """Return where a program is called."""
    return f"/programs/{quote(name, safe='@')}/predict"


def run_path(run_id: str, suffix: str = "") -> str:
    """Return where a run stands."""
    return f"/runs/{quote(run_id, safe='')}{suffix}"


def _json(body: Mapping[str, object], idempotency_key: str) -> tuple[bytes, Mapping[str, str]]:
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # UnicodeEncodeError, half a surrogate pair, is one too
        message = f"The inputs cannot be written as JSON: {error}."
        raise SubmissionError(message) from error
    return content, {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
