"""A language model that is a pure function of its request: the same answers to the runner and to plain DSPy."""

import hashlib
import json
import re
from typing import Any

import dspy
from dspy._vendor.lm15.serde import request_to_dict, response_to_dict
from dspy.lm15 import response_from_openai_chat

FIELD = re.compile(r"^\d+\. `(\w+)` \(", re.MULTILINE)
LABELS = ("billing", "tech")


def rows(count: int) -> list[dict[str, Any]]:
    """Return rows whose label is the parity of their number."""
    return [{"body": f"ticket number {i}", "team": LABELS[i % 2], "unused": "secret column"} for i in range(count)]


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """Return the response to a request, both as lm15 dicts."""
    response: dict[str, Any] = response_to_dict(_response(answer_text(request)))
    return response


def answer_text(request: dict[str, Any]) -> str:
    """Answer every output field of the prompt, in the format that it asks for."""
    system = str(request.get("system") or "")
    asked = system.partition("Your output fields are:")[2].partition("All interactions")[0]
    values = {name: _value(name, request) for name in FIELD.findall(asked)}
    if "[[ ## completed ## ]]" in system:
        parts = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
        return "\n\n".join([*parts, "[[ ## completed ## ]]"])
    return json.dumps(values)


def _value(name: str, request: dict[str, Any]) -> str:
    """Guess; better with demonstrations, and with an instruction that says so."""
    text = json.dumps({key: request.get(key) for key in ("system", "messages")}, sort_keys=True)
    digest = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    if name == "label":
        number = int(re.findall(r"ticket number (\d+)", text)[-1])
        chances = 4 + min(len(request["messages"]) // 2, 4) + (3 if "STEP" in str(request["system"]) else 0)
        return LABELS[number % 2] if digest % 12 < chances else LABELS[1 - number % 2]
    if name == "details":
        return json.dumps({"urgency": digest % 3, "tags": ["t"]})
    return f"{name} says {'STEP' if digest % 2 else 'so'} {digest % 1000}"


def _response(text: str) -> Any:  # noqa: ANN401  # DSPy is untyped
    body = {
        "id": "scripted",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return response_from_openai_chat(body, model="openai/scripted")


class ScriptedEngine:
    """The same model as an engine, for plain DSPy."""

    def complete(self, request: Any) -> Any:  # noqa: ANN401  # DSPy is untyped
        return _response(answer_text(request_to_dict(request)))

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScriptedEngine":
        return self


def plain_lm(**options: Any) -> dspy.LM:  # noqa: ANN401  # DSPy is untyped
    """Return the model for a plain, in-process DSPy run."""
    return dspy.LM("openai/scripted", engine=ScriptedEngine(), cache=False, num_retries=0, **options)
