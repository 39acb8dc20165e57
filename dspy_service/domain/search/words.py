"""The words of a query: what of it is looked for, and where it stands in a text."""

import re
import unicodedata

from dspy_service.domain.search.documents import Span

_WORD = re.compile(r"[^\W_]+")
_MAX_WORDS = 64  # each costs a list of the index
_STEM_CHARS = 4  # a shorter beginning has too many words

_STOP_WORDS = (
    "a an and are as at be been but by can did do does for from had has have how if in into is it its may more not of "
    "on or our such than that the their them then there these they this those to was we were what when where which "
    "who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that say nothing about a text and stand in nearly all; ranking by them would cost the most time."""


def words_of(text: str) -> list[str]:
    """Return the words in order, each once and at most 64; stop words only when there is nothing else."""
    words = {folded(word): word for word in all_words(text)}
    telling = [word for key, word in words.items() if key not in STOP_WORDS]
    return (telling or [*words.values()])[:_MAX_WORDS]


def all_words(text: str) -> list[str]:
    """Return every run of letters and digits, as it is written."""
    return _WORD.findall(unicodedata.normalize("NFC", text))


def folded(word: str) -> str:
    """Return the word in small letters, without accents."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def highlights(text: str, snippet: Span, words: list[str]) -> list[Span]:
    """Return where words of the query stand in the snippet, or longer and shorter forms of them.

    Forms of one word begin alike, but for the last letter of the shorter one; words of up to four letters have none.
    """
    wanted = {folded(word) for word in words}
    stems = tuple(word[:-1] for word in wanted if len(word) > _STEM_CHARS)
    beginnings = {word[:length] for word in wanted for length in range(_STEM_CHARS, len(word) + 1)}

    def is_wanted(word: str) -> bool:
        return word in wanted or word.startswith(stems) or (len(word) > _STEM_CHARS and word[:-1] in beginnings)

    return [
        Span(start=hit.start(), end=hit.end())
        for hit in _WORD.finditer(text, snippet.start, snippet.end)
        if is_wanted(folded(hit.group()))
    ]
