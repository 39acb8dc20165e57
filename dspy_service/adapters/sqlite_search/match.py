"""Words as an expression of FTS5; nothing of the query is left that FTS5 could read as its language."""

from collections.abc import Sequence

from dspy_service.domain.search.query import SearchField


def match_of(words: Sequence[str], field: SearchField) -> str:
    """Return an expression that any of the words fulfils, in the title, the text, or either.

    Each word is a string in quotes, in which FTS5 knows one sign only: a quote, which is written twice.
    """
    quoted = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
    return quoted if field == "any" else f"{{{field}}} : ({quoted})"
