"""A confined program is not believed: whatever it tells, readers get what holds together."""

from typing import Any

import pytest

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run_events import FieldDone, RunFact, StatusNoted, TextReplaced, TokenWritten
from tests.support.served_programs import a_field, an_interface
from workers.serving.hosting.told_facts import ToldFacts

INTERFACE = an_interface(a_field("question"), a_field("answer", "output"), a_field("score", "output", "int"))


class Taken:
    """Where facts go."""

    def __init__(self) -> None:
        self.facts: list[RunFact] = []

    def add(self, *facts: RunFact) -> None:
        self.facts += facts


def _told(taken: Taken, *, max_facts: int = 100, max_chars: int = 1_000) -> ToldFacts:
    return ToldFacts(INTERFACE, taken, max_facts=max_facts, max_chars=max_chars)


def _token(text: str, *, offset: int = 0, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # fields
    return {"type": "token", "field": "answer", "predictor": "self", "text": text, "offset": offset, **changes}


def _done(value: object, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # fields
    return {"type": "field_done", "field": "answer", "predictor": "self", "value": value, **changes}


def _answer(taken: Taken, **place: Any) -> str:  # noqa: ANN401  # a place
    return FieldTexts.of(taken.facts).text("answer", **place)


def test_places_in_a_text_are_counted_here() -> None:
    taken = Taken()

    _told(taken).take([_token("\U0001f600a", offset=700), _token("b", offset=0), _token("")])

    assert [(fact.text, fact.offset) for fact in taken.facts if isinstance(fact, TokenWritten)] == [
        ("\U0001f600a", 0),
        ("b", 2),
    ]


def test_a_value_that_goes_on_from_its_text_is_told_as_the_rest() -> None:
    taken = Taken()

    _told(taken).take([_token("yes"), _done("yes, it is")])

    assert [fact.type for fact in taken.facts] == ["token", "token", "field_done"]
    assert _answer(taken) == "yes, it is"


def test_a_value_that_differs_from_its_text_replaces_it() -> None:
    taken = Taken()

    _told(taken).take([_token("no"), _done("yes")])

    assert isinstance(taken.facts[1], TextReplaced)
    assert _answer(taken) == "yes"


def test_a_value_that_is_no_text_takes_the_text_back() -> None:
    taken = Taken()

    _told(taken).take([_token("4"), _done(4)])

    assert _answer(taken) == ""
    assert taken.facts[-1] == FieldDone(field="answer", predictor="self", value=4)


def test_the_prediction_has_the_last_word_on_its_fields() -> None:
    taken = Taken()
    told = _told(taken)
    told.take([_token("draft"), _done("draft"), _token("kept", predictor="other"), _done("kept", predictor="other")])

    prediction = told.predicted({"answer": "changed", "score": 3, "private": "x"})

    assert prediction == {"answer": "changed", "score": 3}
    assert _answer(taken) == "draft"
    assert _answer(taken, predictor="other") == "changed"
    assert taken.facts[-1] == FieldDone(field="score", predictor="self", value=3)


def test_a_prediction_that_says_what_was_told_adds_nothing() -> None:
    taken = Taken()
    told = _told(taken)
    told.take([_token("yes"), _done("yes"), _done(3, field="score")])
    before = len(taken.facts)

    told.predicted({"score": 3, "answer": "yes"})

    assert len(taken.facts) == before


def test_an_answer_that_nobody_wrote_is_told_as_text() -> None:
    taken = Taken()

    _told(taken).predicted({"answer": "computed"})

    assert _answer(taken) == "computed"


def test_a_thought_is_never_told_as_an_answer() -> None:
    taken = Taken()

    _told(taken).take([_token("hm", field="reasoning"), _token("x", type="reasoning", offset=0)])

    assert [fact.type for fact in taken.facts] == ["reasoning", "token"]


def test_names_stay_on_their_line() -> None:
    taken = Taken()

    _told(taken).take([{"type": "status", "stage": "tool", "phase": "start", "name": "a\nb\x1b", "message": "m" * 900}])

    (status,) = taken.facts
    assert isinstance(status, StatusNoted)
    assert status.name == "a b\\x1b"
    assert len(status.message) < 300


@pytest.mark.parametrize(
    "fact",
    [
        {"type": "final", "prediction": {}, "answer": None, "usage": None},
        {"type": "end", "status": "completed"},
        {"type": "usage", "usage": {}},
        {"type": "status", "stage": "server", "phase": "drain", "name": "w", "message": "m"},
        {"type": "status", "stage": "tool", "phase": "drain", "name": "w", "message": "m"},
        _token("x", offset=-1),
        {**_token("x"), "more": 1},
        _token("x", turn="0"),
        _token("x", turn=10**400),
        _done([float("inf")], field="score"),
        "token",
    ],
    ids=["final", "end", "usage", "server", "drain", "offset", "unknown", "turn", "turns", "infinite", "text"],
)
def test_what_a_program_may_not_tell_ends_it(fact: object) -> None:
    taken = Taken()

    with pytest.raises(ProtocolError):
        _told(taken).take([fact])

    assert taken.facts == []


def test_telling_nothing_without_end_ends_it_too() -> None:
    told = _told(Taken(), max_facts=2)
    told.take([])
    told.take([])

    with pytest.raises(ProtocolError, match="more facts"):
        told.take([])


def test_what_is_inside_a_value_counts_as_facts_before_it_is_looked_at() -> None:
    taken = Taken()

    _told(taken, max_facts=100).take([_done([1] * 50)])
    with pytest.raises(ProtocolError, match="more facts"):
        _told(taken, max_facts=100).take([_done([{"a": [1]}] * 50)])

    assert len(taken.facts) == 1


def test_a_prediction_is_json() -> None:
    with pytest.raises(ProtocolError):
        _told(Taken()).predicted({"score": float("nan")})


def test_a_run_tells_so_many_facts_and_so_much_text() -> None:
    told = _told(Taken(), max_facts=2, max_chars=5)
    told.take([_token("abc")])

    with pytest.raises(ProtocolError, match="more text"):
        told.take([_token("def")])
    with pytest.raises(ProtocolError, match="more facts"):
        told.take([_token("d")])
    with pytest.raises(ProtocolError, match="more text"):
        _told(Taken(), max_chars=5).take([_done(["long"] * 100)])
