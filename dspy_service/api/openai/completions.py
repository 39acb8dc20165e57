"""The objects of a chat completion: the whole one, and its chunks."""

from collections.abc import Mapping, Sequence
from typing import Any

from dspy_service.domain.result import Usage
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import Predicted

_PREFIX = "chatcmpl-"


def head(run: Run, digest: str, kind: str) -> dict[str, Any]:
    """Return what every object of a completion begins with."""
    return {
        "id": f"{_PREFIX}{run.run_id.removeprefix('run_')}",
        "object": kind,
        "created": int(run.created_at.timestamp()),
        "model": model_id(run),
        "system_fingerprint": f"fp_{digest[:12]}",
    }


def model_id(run: Run) -> str:
    """Return the name by which this very version can be called again."""
    return f"{run.program}@v{run.version}"


def completion(
    run: Run, predicted: Predicted, *, shape: ReplyShape, digest: str, warnings: Sequence[str]
) -> dict[str, Any]:
    """Return the answer to a call that did not ask for a stream."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": shape.text(predicted.prediction),
        "refusal": None,
        "annotations": [],
    }
    reasoning = shape.reasoning_text(predicted.prediction)
    if reasoning:
        message["reasoning_content"] = reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": predicted.finish_reason}
    return {
        **head(run, digest, "chat.completion"),
        "choices": [choice],
        "usage": usage_object(predicted.usage),
        **additions(run, predicted, warnings),
    }


def additions(run: Run, predicted: Predicted, warnings: Sequence[str]) -> dict[str, Any]:
    """Return what is not OpenAI's: everything that the program answered, and what of the request was ignored."""
    told = {
        "run_id": run.run_id,
        "program": run.program,
        "version": run.version,
        "prediction": predicted.prediction,
        "cached": predicted.cached,
    }
    return {"dspy": told, **({"warnings": list(warnings)} if warnings else {})}


def usage_object(usage: Usage | None) -> dict[str, Any]:
    """Return the tokens of all model calls of a run together; zeros for an answer that was there before."""
    prompt, written = token_counts(usage)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def token_counts(usage: Usage | None) -> tuple[int, int]:
    """Return how many tokens the models read, and how many they wrote."""
    roles = [] if usage is None else list(usage.roles.values())
    return sum(role.prompt_tokens for role in roles), sum(role.completion_tokens for role in roles)


def chunk(
    start: Mapping[str, Any], delta: Mapping[str, Any] | None, *, finish_reason: str | None = None, **others: object
) -> dict[str, Any]:
    """Return a piece of a completion; ``delta`` None: one without a choice, which carries the usage."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**start, "choices": [] if delta is None else [choice], **others}
