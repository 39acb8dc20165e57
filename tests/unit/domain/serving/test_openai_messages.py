"""Messages of OpenAI's API become turns and a question."""

from typing import Any

import pytest
from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.serving.openai_messages import Said, Talk, read_messages, read_talk


def talk(*messages: tuple[Any, str]) -> Talk:
    return read_talk([Said(role, text) for role, text in messages], path="messages")


def test_texts_and_parts_are_read() -> None:
    messages: list[JsonValue] = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b"}, {"type": "text", "text": "c"}]},
    ]

    assert read_messages(messages, path="input") == [
        Said("system", "Be brief."),
        Said("user", "a"),
        Said("assistant", ""),
        Said("assistant", "bc"),
    ]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("hi", "messages.0"),
        ({"content": "hi"}, "messages.0.role"),
        ({"role": "user", "content": 3}, "messages.0.content"),
        ({"role": "user"}, "messages.0.content"),
        ({"role": "system", "content": None}, "messages.0.content"),
        ({"role": "user", "content": ["hi"]}, "messages.0.content.0"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages.0.content.0.text"),
    ],
    ids=["text", "role", "content", "no content", "no system", "part", "part text"],
)
def test_what_is_malformed_is_named(message: JsonValue, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_messages([message], path="messages")

    assert caught.value.problems[0].field == field


@pytest.mark.parametrize(
    "message",
    [{"role": "tool", "content": "x"}, {"type": "function_call"}, {"role": "user", "content": [{"type": "image_url"}]}],
    ids=["role", "item", "part"],
)
def test_what_is_no_text_is_refused(message: JsonValue) -> None:
    with pytest.raises(UnsupportedRequestError, match="not taken here"):
        read_messages([message], path="messages")


def test_messages_are_pairs_and_a_question() -> None:
    found = talk(("system", "A"), ("user", "1"), ("assistant", "one"), ("system", "B"), ("user", "2"))

    assert found == Talk(system="A\n\nB", pairs=(("1", "one"),), message="2")


def test_messages_of_one_side_are_one() -> None:
    found = talk(("user", "1"), ("user", "2"), ("assistant", "a"), ("assistant", "b"), ("user", "3"), ("user", "4"))

    assert found == Talk(system="", pairs=(("1\n\n2", "a\n\nb"),), message="3\n\n4")


def test_an_assistant_may_begin() -> None:
    assert talk(("assistant", "Hello!"), ("user", "Hi")).pairs == (("", "Hello!"),)


@pytest.mark.parametrize(
    "messages", [[], [("system", "A")], [("user", "1"), ("assistant", "2")]], ids=["none", "system", "answer"]
)
def test_the_last_word_is_the_users(messages: list[tuple[Any, str]]) -> None:
    with pytest.raises(InvalidRequestError, match="must end with a message of the user"):
        talk(*messages)
