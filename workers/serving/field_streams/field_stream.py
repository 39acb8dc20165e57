"""What reads the answer of one language model call piece by piece, and what it finds."""

from typing import NamedTuple, Protocol


class OutputField(NamedTuple):
    """An output field of the signature that the call is made for."""

    name: str
    is_text: bool
    """Whether it is a ``str``: only those are streamed piece by piece."""


class FieldDelta(NamedTuple):
    """More text of one field, never empty."""

    field: str
    text: str


class FieldStream(Protocol):
    """One per call of a language model. Neither method ever raises, whatever the model wrote.

    The texts of a field, one after the other, are what DSPy's adapter will parse as its value, for every answer that
    keeps to the adapter's format. For one that does not they may differ, and the ``FieldWriter`` sets that right.
    """

    def feed(self, delta: str) -> list[FieldDelta]:
        """Take more of the answer, and return what is certain by now."""
        ...

    def end(self) -> list[FieldDelta]:
        """Return what the end of the answer makes certain; ``feed`` is not called again."""
        ...
