"""Text that was cleaned can be sent, shown and stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.runner.reporting import plain
from workers.runner.text import clean, one_line

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]))
"""Lone surrogates included."""


@given(text=ANY_TEXT)
def test_cleaned_text_is_valid_utf8_without_controls(text: str) -> None:
    cleaned = clean(text)

    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert all(char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in cleaned)


@given(text=ANY_TEXT)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(text=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[93mProposed\x1b[0m", "Proposed"),
        ("\x1b]0;title\x07text", "text"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("null\x00byte", "nullbyte"),
        ("\ud800", "?"),
    ],
)
def test_terminal_codes_and_surrogates_go(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_long_text_is_cut_with_a_mark() -> None:
    assert clean("x" * 100, max_chars=10) == "xxxxxxxxxx … [90 characters cut]"


@given(text=ANY_TEXT)
def test_one_line_is_one_short_line(text: str) -> None:
    line = one_line(text, max_chars=50)

    assert "\n" not in line
    assert len(line) <= 50


@given(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.builds(object)),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.integers(), inner), st.tuples(inner)),
    ),
)
def test_anything_becomes_strict_json(value: object) -> None:
    assert json.dumps(plain(value), allow_nan=False).encode("ascii")
