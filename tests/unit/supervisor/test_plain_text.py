"""Text from a runner, made safe to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.supervisor.plain_text import escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("over\rwritten", "over\\x0dwritten"),
        ("abc\u202edef", "abc\\u202edef"),
        ("a\x00b\x7f\x9b", "a\\x00b\\x7f\\x9b"),
        ("hidden\u200b", "hidden\\u200b"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("Grüße, 世界 🎉", "Grüße, 世界 🎉"),
    ],
)
def test_what_moves_a_cursor_or_reorders_text_is_written_out(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_a_long_text_is_cut_and_says_so() -> None:
    assert escape("x" * 15, max_chars=10) == "xxxxxxxxxx … [5 more characters]"


@given(st.text())
def test_every_text_becomes_one_that_can_be_stored_and_escaping_twice_changes_nothing(text: str) -> None:
    once = escape(text)

    once.encode()
    assert escape(once) == once
