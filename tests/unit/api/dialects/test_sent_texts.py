"""Text that was told cannot be taken back: only what follows it is told."""

from hypothesis import given

from dspy_service.api.dialects.sent_texts import MoreText, SentTexts
from dspy_service.domain.serving.run_events import FieldDone, TextReplaced, TokenWritten
from tests.support.run_stories import RunStory, run_stories


def a_token(text: str, *, field: str = "answer", turn: int = 0) -> TokenWritten:
    return TokenWritten(field=field, predictor="self", text=text, offset=0, turn=turn)


def replaced(text: str) -> TextReplaced:
    return TextReplaced(field="answer", predictor="self", text=text)


def told_by(*facts: TokenWritten | TextReplaced) -> list[str]:
    texts = SentTexts()
    return [more.text for fact in facts for more in texts.more(fact)]


@given(run_stories)
def test_what_is_told_begins_the_answer_unless_something_was_taken_back(story: RunStory) -> None:
    texts = SentTexts()

    told = "".join(more.text for event in story.events for more in texts.more(event.fact))

    assert told == texts.told("answer")
    assert story.is_taken_back or told == story.answer


def test_a_replacement_that_goes_on_is_told_as_its_rest() -> None:
    assert told_by(a_token("Be"), replaced("Because"), a_token(" of")) == ["Be", "cause", " of"]


def test_a_second_try_is_told_from_where_the_first_one_stopped() -> None:
    facts = (a_token("Bec"), replaced(""), a_token("Be"), a_token("cau"), a_token("se"))

    assert told_by(*facts) == ["Bec", "au", "se"]


def test_a_text_that_was_taken_back_for_good_is_told_no_more() -> None:
    assert told_by(a_token("Red"), replaced(""), a_token("Blue"), a_token("!")) == ["Red"]


def test_a_field_comes_back_when_a_later_replacement_fits() -> None:
    assert told_by(a_token("Red"), replaced("Blue"), a_token("!"), replaced("Red wine")) == ["Red", " wine"]


def test_fields_and_turns_are_apart() -> None:
    texts = SentTexts()
    texts.more(a_token("a", field="reasoning"))
    texts.more(a_token("b", turn=1))

    more = texts.more(a_token("c"))

    assert more == [MoreText("answer", "self", "c")]
    assert (texts.told("reasoning"), texts.told("answer", turn=1), texts.told("answer")) == ("a", "b", "c")


def test_other_facts_are_no_text() -> None:
    assert SentTexts().more(FieldDone(field="n", predictor="self", value=3)) == []
