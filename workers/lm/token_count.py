"""What a call took in tokens: as its provider says, or estimated on the high side where it does not say."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from dspy._vendor.lm15.serde import part_to_dict, request_to_dict  # not re-exported by dspy.lm15
from dspy.lm15 import Request, Response, Usage

BYTES_PER_TOKEN: Final = 3
"""Of UTF-8. English has more than four, code and Chinese about three: a budget is rather kept too early than not."""
MEDIA_TOKENS: Final = 2_000
"""For an image, whatever its size: somewhat more than providers count for one of high detail."""
MAX_TOKENS: Final = 1_000_000_000
"""Of one call. A provider that tells more, of anything, is not believed in the least."""
_MEDIA_PARTS: Final = frozenset({"image", "audio", "video", "document", "binary"})


class TokenCount(NamedTuple):
    """Of one call. Reasoning that a model keeps to itself is in no estimate."""

    prompt: int
    completion: int
    is_estimated: bool
    """Whether the provider left out either of them."""

    def as_told_by(self, usage: Usage) -> Usage:
        """Return what a price needs: the provider's own figures, or these where it has none."""
        return Usage(input_tokens=self.prompt, output_tokens=self.completion) if self.is_estimated else usage


def count_tokens(request: Request, response: Response) -> TokenCount:
    """Return the tokens of a call; a provider that says 0 where there was something to count has not counted."""
    told = response.usage if _is_credible(response.usage) else Usage()
    prompt, completion = told.input_tokens, told.output_tokens
    if not prompt and not told.cache_read_tokens and not told.cache_write_tokens:  # some count these apart
        prompt = None
    if not completion and (prompt is None or not _is_empty(response)):
        completion = None
    if prompt is not None and completion is not None:
        return TokenCount(prompt, completion, is_estimated=False)
    return TokenCount(
        _tokens(_request_bytes(request)) if prompt is None else prompt,
        _tokens(_parts_bytes(response.message.parts)) if completion is None else completion,
        is_estimated=True,
    )


def _is_credible(usage: Usage) -> bool:
    figures = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    return all(figure is None or figure <= MAX_TOKENS for figure in figures)


def _is_empty(response: Response) -> bool:
    return all(getattr(part, "text", None) == "" for part in response.message.parts)


def _tokens(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)


def _request_bytes(request: Request) -> int:
    rest = request_to_dict(request)
    rest.pop("messages")
    if not isinstance(request.system, str):
        rest.pop("system", None)
    system = request.system if isinstance(request.system, tuple) else ()
    return _bytes(rest) + sum(_parts_bytes(parts) for parts in (system, *(each.parts for each in request.messages)))


def _parts_bytes(parts: Iterable[Any]) -> int:
    return sum(
        MEDIA_TOKENS * BYTES_PER_TOKEN if part.type in _MEDIA_PARTS else _bytes(part_to_dict(part)) for part in parts
    )


def _bytes(value: object) -> int:
    """Return the size of all texts in it, with the names around them, which stand for a message's own few tokens."""
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    if isinstance(value, Mapping):
        return sum(len(name) + _bytes(each) for name, each in value.items())
    if isinstance(value, list | tuple):
        return sum(_bytes(each) for each in value)
    return 0 if value is None else len(str(value))
