"""One answer as a journal keeps it."""

import pydantic_core
import pytest

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.journal_entry import JournalEntry

_KEY = "ab" * 32
_ENTRY = JournalEntry(_KEY, "task", "openai/m@http://x", "provider", 11, 4, 0.25, '"response":{"text":"ä\\n"}'.encode())


@pytest.mark.parametrize("is_estimated", [True, False])
@pytest.mark.parametrize("cost_usd", [0.25, 0.0, None])
def test_an_entry_is_read_as_it_was_written(cost_usd: float | None, *, is_estimated: bool) -> None:
    entry = JournalEntry(_KEY, "task", "m", "cache", 11, 4, cost_usd, b'"response":{}', is_estimated=is_estimated)

    assert JournalEntry.parse(entry.text()) == entry


def test_an_entry_is_two_lines_of_text() -> None:
    lines = _ENTRY.text().decode().split("\n")

    assert len(lines) == 2
    assert pydantic_core.from_json(lines[0])[1] == _KEY
    assert pydantic_core.from_json("{" + lines[1] + "}") == {"response": {"text": "ä\n"}}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"no json\n{}",
        b"{}\n{}",
        b"[]\n{}",
        b'["1"]\n{}',
        b"[1]\n{}",
        _ENTRY.text().partition(b"\n")[0],
        _ENTRY.text() + b"\nthird line",
        _ENTRY.text().replace(b'"provider"', b'"somewhere"'),
        _ENTRY.text().replace(b'"provider"', b"[]"),
        _ENTRY.text().replace(_KEY.encode(), b"ab"),
        _ENTRY.text().replace(_KEY.encode(), b"xy" * 32),
        _ENTRY.text().replace(b",11,", b',"11",'),
        _ENTRY.text().replace(b"false]", b"[]]"),
    ],
)
def test_what_is_no_entry_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        JournalEntry.parse(text)


def test_an_entry_of_a_newer_release_is_an_error_that_says_what_to_do() -> None:
    newer = _ENTRY.text().replace(b"[1,", b"[2,", 1)

    with pytest.raises(ConfigurationError, match=r"version 2.*upgrade"):
        JournalEntry.parse(newer)


def test_an_entry_tells_what_it_is() -> None:
    refused = JournalEntry(_KEY, "task", "m", "refusal", 0, 0, 0.0, b'"error":{}')

    assert (_ENTRY.is_response, _ENTRY.is_paid) == (True, True)
    assert (refused.is_response, refused.is_paid) == (False, False)
