"""Admits a runner's request to a language model, or refuses it: an allow-list, since the runner is not trusted.

What is left out is left out on purpose. ``extensions``, ``cache``, ``service_tier``, ``user_id`` and ``store`` act on
the operator's account; a ``path`` would read a file of this process; a ``file_id`` or a ``continuation`` names what may
belong to another tenant; a built-in tool is billed beyond tokens.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dspy._vendor.lm15.serde import request_from_dict  # not re-exported by dspy.lm15
from dspy.lm15 import Request

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind

REQUEST_KEYS: Final = frozenset({"model", "messages", "system", "tools", "config"})
CONFIG_KEYS: Final = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "response_format",
        "tool_choice",
        "reasoning",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logprobs",
    },
)
MESSAGE_KEYS: Final = frozenset({"role", "parts"})
_TEXT_PARTS: Final = frozenset({"text", "thinking", "refusal"})
_MEDIA_PARTS: Final = frozenset({"image", "audio", "video", "document", "binary"})
_PART_KEYS: Final[Mapping[str, frozenset[str]]] = {
    **{kind: frozenset({"type", "text"}) for kind in _TEXT_PARTS},
    **{kind: frozenset({"type", "media_type", "data", "url", "detail"}) for kind in _MEDIA_PARTS},
    "data": frozenset({"type", "value"}),
    "tool_call": frozenset({"type", "id", "name", "input"}),
    "tool_result": frozenset({"type", "id", "name", "content", "is_error"}),
}
_MEDIA_SCHEMES: Final = ("https://", "http://", "data:")
_MAX_PART_DEPTH: Final = 3  # a tool result holds parts; nothing deeper exists


def admit(raw: Mapping[str, Any], *, model: str, max_tokens: int) -> Request:
    """Return the request as lm15's own type, for ``model`` whatever the runner wrote there.

    Raises:
        ModelCallError: ``refused`` for something that a job may not ask for.
    """
    _only(raw, REQUEST_KEYS, "request")
    _check_config(raw.get("config", {}), max_tokens)
    for message in _objects(raw.get("messages"), "messages"):
        _only(message, MESSAGE_KEYS, "message")
        _check_parts(message.get("parts"), depth=1)
    if isinstance(raw.get("system"), list):
        _check_parts(raw["system"], depth=1)
    for tool in _objects(raw.get("tools", []), "tools"):
        if tool.get("type") != "function":
            raise refusal("Only function tools may be sent to a model.")
    try:
        return request_from_dict({**raw, "model": model})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        message_text = f"The request is not one that a model can be sent: {repr(error)[:300]}"
        raise refusal(message_text) from error


def refusal(message: str) -> ModelCallError:
    """Return the error that says that the broker itself does not take a request."""
    return ModelCallError(ModelErrorKind.REFUSED, message)


def _only(raw: object, allowed: frozenset[str], what: str) -> None:
    if not isinstance(raw, dict):
        raise refusal(f"A {what} must be an object.")
    unknown = raw.keys() - allowed
    if unknown:
        raise refusal(f"A {what} may not carry {', '.join(sorted(unknown))[:200]}.")


def _objects(raw: object, what: str) -> Iterable[Mapping[str, Any]]:
    if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
        raise refusal(f"{what} must be a list of objects.")
    return raw


def _check_config(config: object, max_tokens: int) -> None:
    _only(config, CONFIG_KEYS, "config")
    asked = config.get("max_tokens") if isinstance(config, dict) else None
    if asked is not None and (type(asked) is not int or not 0 < asked <= max_tokens):  # a bool is an int too
        raise refusal(f"max_tokens must be a whole number from 1 to {max_tokens}.")


def _check_parts(parts: object, *, depth: int) -> None:
    if depth > _MAX_PART_DEPTH:
        raise refusal("The parts of a message are nested too deeply.")
    for part in _objects(parts, "parts"):
        kind = part.get("type")
        allowed = _PART_KEYS.get(kind) if isinstance(kind, str) else None
        if allowed is None:
            raise refusal(f"A message may not carry a {str(kind)[:40]!r} part.")
        _only(part, allowed, f"{kind} part")
        if kind in _MEDIA_PARTS:
            _check_url(part.get("url"))
        elif kind == "tool_result" and isinstance(part.get("content"), list):
            _check_parts(part["content"], depth=depth + 1)


def _check_url(url: object) -> None:
    if url is not None and not (isinstance(url, str) and url.startswith(_MEDIA_SCHEMES)):
        raise refusal("A media part's url must be an http, https or data URL.")
