"""The objects of the Responses API: a response, its items, and what its events hold."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from dspy_service.api.openai.completions import model_id, token_counts
from dspy_service.domain.result import Usage
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.openai_memo import ResponseMemo
from dspy_service.domain.serving.run import Run, RunError, RunStatus
from dspy_service.domain.serving.run_events import Predicted

_RUN, _RESPONSE = "run_", "resp_"


def response_id_of(run_id: str) -> str:
    """Return the name of a run as a response."""
    return f"{_RESPONSE}{run_id.removeprefix(_RUN)}"


def run_id_of(name: str) -> str:
    """Return the run that a response is."""
    return f"{_RUN}{name.removeprefix(_RESPONSE)}"


def response_object(
    run: Run,
    memo: ResponseMemo,
    *,
    status: RunStatus,
    shape: ReplyShape,
    predicted: Predicted | None = None,
    error: RunError | None = None,
) -> dict[str, Any]:
    """Return a response as it stands.

    Args:
        run: Its record.
        memo: What it keeps of the request.
        status: Where it stands; the record may be older.
        shape: What of the prediction is the reply.
        predicted: What the program answered.
        error: Why it did not.
    """
    return {
        "id": response_id_of(run.run_id),
        "object": "response",
        "created_at": int(run.created_at.timestamp()),
        "status": status.value,
        "background": memo.background,
        "conversation": None if run.conversation_id is None else {"id": run.conversation_id},
        "error": None if error is None else _error(error),
        "incomplete_details": {"reason": "max_output_tokens"} if status is RunStatus.INCOMPLETE else None,
        "instructions": memo.instructions,
        "max_output_tokens": run.options.max_tokens,
        "metadata": memo.metadata,
        "model": model_id(run),
        "output": [] if predicted is None else output_items(run, shape, predicted, status=item_status(status)),
        "parallel_tool_calls": False,
        "previous_response_id": memo.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": run.options.temperature,
        "text": {"format": {"type": "text" if memo.outputs is None else "json_object"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": run.options.top_p,
        "truncation": "disabled",
        "usage": None if predicted is None else usage_object(predicted.usage),
        "dspy": _told(run, predicted, error),
        **({"warnings": memo.warnings} if memo.warnings else {}),
    }


def output_items(run: Run, shape: ReplyShape, predicted: Predicted, *, status: str) -> list[dict[str, Any]]:
    """Return the reasoning, where the program has such an output, and the message."""
    message = message_item(run, shape.text(predicted.prediction), status=status)
    if shape.reasoning is None:
        return [message]
    return [reasoning_item(run, shape.reasoning_text(predicted.prediction), status=status), message]


def message_item(run: Run, text: str | None, *, status: str) -> dict[str, Any]:
    """Return the message; ``text`` None: nothing of it yet."""
    content = [] if text is None else [text_part(text)]
    return {"id": item_id("msg", run), "type": "message", "role": "assistant", "status": status, "content": content}


def reasoning_item(run: Run, text: str | None, *, status: str) -> dict[str, Any]:
    """Return the reasoning; ``text`` None: nothing of it yet."""
    summary = [] if text is None else [summary_part(text)]
    return {"id": item_id("rs", run), "type": "reasoning", "status": status, "summary": summary}


def text_part(text: str) -> dict[str, Any]:
    """Return the content of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def summary_part(text: str) -> dict[str, Any]:
    """Return the content of a reasoning."""
    return {"type": "summary_text", "text": text}


def item_id(prefix: str, run: Run) -> str:
    """Return the name of the only item of its kind."""
    return f"{prefix}_{run.run_id.removeprefix(_RUN)}"


def item_status(status: RunStatus) -> str:
    """Return the status of the items of a response that has ended."""
    return "completed" if status is RunStatus.COMPLETED else "incomplete"


def input_items(run: Run, memo: ResponseMemo) -> list[dict[str, JsonValue]]:
    """Return what was sent, each with a name and its content in parts, as clients read it."""
    return [_input_item(each, f"{item_id('in', run)}_{index}") for index, each in enumerate(memo.input)]


def usage_object(usage: Usage | None) -> dict[str, Any]:
    """Return the tokens of all model calls of a run together."""
    prompt, written = token_counts(usage)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + written,
    }


def _input_item(item: JsonValue, name: str) -> dict[str, JsonValue]:
    known: Mapping[str, JsonValue] = item if isinstance(item, dict) else {}
    content = known.get("content")
    if isinstance(content, str):
        kind = "output_text" if known.get("role") == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    return {"type": "message", "id": name, "status": "completed", **known, "content": content}


def _error(error: RunError) -> dict[str, str]:
    """Return one of OpenAI's codes; ours stands beside, see ``_told``."""
    code = "rate_limit_exceeded" if error.code == "lm_rate_limited" else "server_error"
    return {"code": code, "message": error.message}


def _told(run: Run, predicted: Predicted | None, error: RunError | None) -> dict[str, Any]:
    told: dict[str, Any] = {"run_id": run.run_id, "program": run.program, "version": run.version}
    if predicted is not None:
        told |= {"prediction": predicted.prediction, "cached": predicted.cached}
    if error is not None:
        facts = error.model_dump(mode="json", exclude={"code", "message"}, exclude_none=True)
        told |= {"error_code": error.code, **facts}
    return told
