"""Whatever a query says, FTS5 reads words and no language."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dspy_service.adapters.sqlite_search.match import match_of
from dspy_service.domain.search.query import SearchField
from dspy_service.domain.search.words import words_of

fields = st.sampled_from(["any", "title", "text"])
hostile = st.lists(
    st.sampled_from(
        ['"', "'", "NEAR(", "AND", "OR", "NOT", "*", "^", ":", "{", "}", "(", ")", "-", "+", "title", ",", "\\"]
    )
    | st.text(max_size=8)
).map(" ".join)


@pytest.fixture(scope="module")
def index() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(title, text)")
    connection.execute("INSERT INTO words VALUES ('walrus', 'penguin')")
    yield connection
    connection.close()


@given(text=hostile, field=fields)
@example(text='"', field="any")
@example(text='x" OR walrus NEAR("', field="text")
def test_no_query_is_a_syntax_error(index: sqlite3.Connection, text: str, field: SearchField) -> None:
    words = words_of(text)

    if words:
        index.execute("SELECT rowid FROM words WHERE words MATCH ?", (match_of(words, field),)).fetchall()


@given(words=st.lists(st.text(min_size=1, max_size=8), min_size=1), field=fields)
def test_quotes_hold_whatever_stands_between_them(
    index: sqlite3.Connection, words: list[str], field: SearchField
) -> None:
    words = [word.replace("\0", "") for word in words]  # ends a text for FTS5; no word of a query has it

    index.execute("SELECT rowid FROM words WHERE words MATCH ?", (match_of(words, field),)).fetchall()


@given(text=hostile)
def test_a_word_is_found_whatever_stands_around_it(index: sqlite3.Connection, text: str) -> None:
    match = match_of([*words_of(text)[:60], "walrus"], "any")

    assert index.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match,)).fetchone() == (1,)


@pytest.mark.parametrize(("field", "count"), [("any", 1), ("title", 1), ("text", 0)])
def test_a_field_bars_words_of_the_other(index: sqlite3.Connection, field: SearchField, count: int) -> None:
    match = match_of(["walrus"], field)

    assert index.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match,)).fetchone() == (count,)
