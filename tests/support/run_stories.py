"""What runs tell of one field, as hypothesis draws it: text, and text that is taken back."""

from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import strategies as st

from dspy_service.domain.serving.run import RunStatus
from dspy_service.domain.serving.run_events import (
    Ended,
    Predicted,
    RunEvent,
    RunFact,
    Snapshot,
    Started,
    TextReplaced,
    TokenWritten,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_REPLACEMENTS = st.one_of(
    st.tuples(st.just("rest"), _TEXT), st.tuples(st.just("anew"), _TEXT), st.tuples(st.just("snapshot"), _TEXT)
)
_STEPS = st.lists(st.one_of(st.tuples(st.just("token"), _TEXT), _REPLACEMENTS), max_size=12)


@dataclass(frozen=True)
class RunStory:
    """The events of a run that writes ``answer``."""

    events: list[RunEvent]
    answer: str
    is_taken_back: bool
    """Whether some of it was void later."""


def as_events(facts: list[RunFact]) -> list[RunEvent]:
    """Number facts from 1."""
    return [RunEvent(seq=seq, timestamp=NOW, fact=fact) for seq, fact in enumerate(facts, start=1)]


def story_of(steps: list[tuple[str, str]]) -> RunStory:
    """Return a story: ``token`` appends, ``rest`` replaces by more, ``anew`` and ``snapshot`` by anything."""
    facts: list[RunFact] = [Started(run_id="run_1", program="qa", version=1, model="demo/in-context")]
    text, is_taken_back = "", False
    for kind, piece in steps:
        if kind == "token":
            facts.append(TokenWritten(field="answer", predictor="self", text=piece, offset=len(text)))
            text += piece
            continue
        after = text + piece if kind == "rest" else piece
        is_taken_back = is_taken_back or not after.startswith(text)
        replaced = TextReplaced(field="answer", predictor="self", text=after)
        facts.append(Snapshot(fields=[replaced]) if kind == "snapshot" else replaced)
        text = after
    facts.append(Predicted(prediction={"answer": text}, answer=text, usage=None))
    facts.append(Ended(status=RunStatus.COMPLETED))
    return RunStory(as_events(facts), text, is_taken_back)


run_stories = _STEPS.map(story_of)
"""Any story of one answer."""
