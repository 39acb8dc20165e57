"""Joined tokens say the same with fewer events."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.serving.coalescing import coalesced
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run_events import RunEvent, RunFact, StatusNoted, TextReplaced, TokenWritten

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
STATUS = StatusNoted(stage="lm", phase="start", name="demo", message="asking")


def events(*facts: RunFact) -> list[RunEvent]:
    return [
        RunEvent(seq=seq, timestamp=BEGAN + timedelta(seconds=seq), fact=fact)
        for seq, fact in enumerate(facts, start=1)
    ]


def a_token(text: str, offset: int, *, field: str = "answer", predictor: str = "self", turn: int = 0) -> TokenWritten:
    return TokenWritten(field=field, predictor=predictor, text=text, offset=offset, turn=turn)


def test_neighbours_of_one_field_become_one_event_with_the_last_number() -> None:
    told = events(a_token("Oh ", 0), a_token("my", 3), a_token(" \U0001f600!", 5))

    [one] = coalesced(told)

    assert one == told[-1].model_copy(update={"fact": a_token("Oh my \U0001f600!", 0)})


def test_anything_between_keeps_tokens_apart() -> None:
    told = events(
        a_token("a", 0),
        STATUS,
        a_token("b", 1),
        TextReplaced(field="answer", predictor="self", text="ab"),
        a_token("c", 2),
    )

    assert coalesced(told) == told


def test_tokens_that_do_not_continue_each_other_stay_apart() -> None:
    told = events(
        a_token("a", 0),
        a_token("b", 1, field="tags"),
        a_token("c", 2, field="tags", predictor="other"),
        a_token("d", 3, field="tags", predictor="other", turn=1),
        a_token("e", 4, field="tags", predictor="other", turn=1).model_copy(update={"type": "reasoning"}),
        a_token("f", 9, field="tags", predictor="other", turn=1).model_copy(update={"type": "reasoning"}),
    )

    assert coalesced(told) == told


def test_nothing_comes_to_nothing() -> None:
    assert coalesced([]) == []


@given(st.lists(st.tuples(st.sampled_from(["answer", "reasoning", "status", "replace"]), st.text(max_size=3))))
def test_the_texts_stay_what_they_are(script: list[tuple[str, str]]) -> None:
    told: list[RunFact] = []
    texts = FieldTexts()
    for kind, text in script:
        if kind == "status":
            told.append(STATUS)
        elif kind == "replace":
            told.append(TextReplaced(field="answer", predictor="self", text=text))
        else:
            told.append(a_token(text, len(texts.text(kind)), field=kind))
        texts.add(told[-1])

    joined = coalesced(events(*told))

    assert FieldTexts.of(event.fact for event in joined).all() == texts.all()
    assert [event.seq for event in joined] == sorted({event.seq for event in joined})
    assert len(joined) <= len(told)
    assert not told or joined[-1].seq == len(told)
