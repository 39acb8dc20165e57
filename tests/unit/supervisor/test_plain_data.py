"""JSON from a runner, made safe to keep and to show."""

import pytest

from dspy_service.domain.errors import ProtocolError
from workers.supervisor.plain_data import MAX_DEPTH, plain


def test_texts_and_names_at_any_depth_are_escaped() -> None:
    copy = plain({"a\nb\x1b": ["\x1b[2J", {"\u202e": "two\nlines"}]})

    assert copy.value == {"a b\\x1b": ["\\x1b[2J", {"\\u202e": "two\nlines"}]}
    assert copy.values == 5


def test_names_and_texts_are_cut() -> None:
    [(name, text)] = plain({"n" * 1000: "t" * 100_000}).value.items()

    assert len(name) < 250
    assert len(text) < 70_000


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan"), 10**400, -(2**63) - 1])
def test_a_number_that_readers_of_json_disagree_on_is_nothing(number: float) -> None:
    assert plain([number]).value == [None]


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, 0.5, True, False, None, "x"])
def test_other_values_stay_as_they_are(value: object) -> None:
    assert plain(value).value is value


def test_too_much_of_anything_is_refused() -> None:
    deep: list[object] = []
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]

    with pytest.raises(ProtocolError, match="deep"):
        plain(deep)
    with pytest.raises(ProtocolError, match="more than 10 values"):
        plain([0] * 10, max_values=10)
    with pytest.raises(ProtocolError, match="more than 10 characters"):
        plain({"12345": "678901"}, max_chars=10)
