r"""Text that every wire can carry: no half of a surrogate pair.

Providers cut between the two halves of an emoji, and a truncated ``\ud83d`` is half of one; UTF-8 and pydantic take
neither. Halves that meet are joined, and one alone becomes U+FFFD.
"""

from pydantic import JsonValue


def mended(text: str) -> str:
    """Return the text with its surrogates joined or replaced; the text itself where it has none."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def mended_value(value: JsonValue) -> JsonValue:
    """Return the value with every text in it mended, also the keys."""
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, list):
        return [mended_value(item) for item in value]
    if isinstance(value, dict):
        return {mended(key): mended_value(item) for key, item in value.items()}
    return value


def waits_for_half(text: str) -> bool:
    """Whether the last character is the first half of a pair."""
    return "\ud800" <= text[-1:] <= "\udbff"
