"""The bodies of OpenAI's API, and what of them a program can do."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.serving.run import RunOptions

_HARMLESS: Mapping[str, tuple[JsonValue, ...]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "prompt": (),
    "conversation": (),
    "truncation": ("disabled", "auto"),
}
"""What would change the answer, with the values that ask for nothing; null does neither."""

_REFUSALS: Mapping[str, str] = {
    "n": "one answer only; ask again for another one",
    "tools": "a program brings its own tools",
    "functions": "a program brings its own tools",
    "conversation": "belongs to /v1/responses, or use /v1/chat",
}
_NOTHING: tuple[JsonValue, ...] = (None, 0, False, "", [], {})
_UNNOTICED = frozenset(
    {"user", "service_tier", "safety_identifier", "prompt_cache_key", "include", "parallel_tool_calls"}
)
"""Parameters that change no answer of OpenAI's either, or nothing where there are no tools."""

Stop = Annotated[str | list[Annotated[str, Field(max_length=1000)]] | None, Field(description="At most 4 texts.")]


class _Body(BaseModel):
    """What both endpoints take; other parameters of OpenAI's API are taken too, see ``ignored``."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False, protected_namespaces=())

    model: Annotated[str, Field(description="A program's name; `name@alias` or `name@v3` for another version.")]
    stream: bool | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    metadata: Annotated[dict[str, str] | None, Field(max_length=16)] = None
    store: bool | None = None
    inputs: Annotated[
        dict[str, JsonValue] | None,
        Field(description="Not OpenAI's: inputs of the program beside the message (`extra_body` in its clients)."),
    ] = None
    cache: Annotated[
        Literal["use", "bypass", "refresh"] | None, Field(description="Not OpenAI's: of answers to equal calls.")
    ] = None

    def ignored(self) -> tuple[str, ...]:
        """Return a sentence for each parameter that changes nothing here.

        Raises:
            UnsupportedRequestError: one asks for something that a program cannot do.
        """
        extra: dict[str, Any] = self.model_extra or {}
        for name, value in extra.items():
            if name in _HARMLESS and value is not None and value not in _HARMLESS[name]:
                raise UnsupportedRequestError.of(name, _REFUSALS.get(name, "is not offered here; leave it out"))
        return tuple(
            f"{name[:60]}: is not offered here"
            for name, value in extra.items()
            if name not in _HARMLESS and name not in _UNNOTICED and value not in _NOTHING
        )


class StreamOptions(BaseModel):
    """Of a chat completion."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = None


class ChatCompletionRequest(_Body):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[JsonValue], Field(min_length=1, description="`role` and `content`; the last is answered.")]
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    stop: Stop = None
    seed: int | None = None
    response_format: dict[str, JsonValue] | None = None

    def options(self, instructions: str | None) -> RunOptions:
        """Return how the program is called."""
        return RunOptions(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=[self.stop] if isinstance(self.stop, str) else self.stop,
            seed=self.seed,
            cache=self.cache or "use",
            instructions=instructions,
        )


class TextOptions(BaseModel):
    """Of a response."""

    model_config = ConfigDict(extra="ignore")

    format: dict[str, JsonValue] | None = None


class ConversationReference(BaseModel):
    """A conversation by its id."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: Annotated[str, Field(min_length=1)]


class ResponseRequest(_Body):
    """``POST /v1/responses``."""

    input: Annotated[str | list[JsonValue], Field(description="A text, or messages; the last one is answered.")]
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Annotated[
        str | ConversationReference | None, Field(description="Goes on with it: an id of `POST /conversations`.")
    ] = None
    user: Annotated[
        str | None, Field(description="Whose the conversation is, as its `user_id`; another's is not found.")
    ] = None
    background: bool | None = None
    max_output_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    text: TextOptions | None = None

    def options(self, instructions: str | None) -> RunOptions:
        """Return how the program is called."""
        return RunOptions(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_output_tokens,
            cache=self.cache or "use",
            instructions=instructions,
        )

    @property
    def conversation_id(self) -> str | None:
        """The conversation that it goes on with."""
        return self.conversation.id if isinstance(self.conversation, ConversationReference) else self.conversation

    def items(self) -> list[JsonValue]:
        """Return the input as messages."""
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": self.input}]
        return self.input
