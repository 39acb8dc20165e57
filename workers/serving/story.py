"""What a run has come to so far: the text of each field in one piece, and everything else that matters at its end."""

from collections.abc import Iterable

from dspy_service.domain.result import Usage
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run_events import (
    OUTPUTS,
    Cancelled,
    Failed,
    Predicted,
    RunFact,
    StatusNoted,
    TextReplaced,
    TokenWritten,
    UsageCounted,
)


class Story:
    """Folds facts as they come, so that a long answer costs its text and not its tokens."""

    def __init__(self) -> None:
        self._texts = FieldTexts()
        self._others: list[RunFact] = []
        self.has_output = False
        """Whether some of the answer was shown."""
        self.usage: Usage | None = None
        self.ending: Predicted | Failed | Cancelled | None = None
        """What its producer, or whoever stopped it, says about the end."""

    def tell(self, facts: Iterable[RunFact]) -> None:
        """Go on with these facts."""
        for fact in facts:
            self.has_output = self.has_output or isinstance(fact, OUTPUTS)
            if isinstance(fact, UsageCounted | Predicted):
                self.usage = fact.usage or self.usage
            if isinstance(fact, Predicted | Failed | Cancelled):
                self.ending = fact
            if isinstance(fact, TokenWritten | TextReplaced):
                self._texts.add(fact)
            elif not isinstance(fact, StatusNoted):
                self._others.append(fact)

    def facts(self) -> list[RunFact]:
        """Return all that counts: first one ``replace`` for each field's text, then the rest in order."""
        return [*self._texts.all(), *self._others]
