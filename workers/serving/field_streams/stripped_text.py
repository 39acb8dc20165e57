"""``str.strip`` for a text that comes in pieces."""


class StrippedText:
    """Holds whitespace back until something follows it, so that none is let out at either end of the text."""

    def __init__(self) -> None:
        self._has_begun = False
        self._space = ""

    def add(self, text: str) -> str:
        """Return what of the text so far may be shown and was not yet."""
        text = self._space + text
        if not self._has_begun:
            text = text.lstrip()
        shown = text.rstrip()
        self._space = text[len(shown) :]
        self._has_begun = self._has_begun or shown != ""
        return shown
