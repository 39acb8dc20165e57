"""An answer in a terminal: what is printed is the answer, whatever was taken back on the way."""

from hypothesis import given

from dspy_service.cli.answer_text import AnswerText
from dspy_service.domain.serving.chat_fields import ChatFields
from dspy_service.domain.serving.run_events import Predicted, TextReplaced
from tests.support.run_samples import a_token, the_final
from tests.support.run_stories import RunStory, run_stories

FIELDS = ChatFields(question="question", history=None, answer="answer")


@given(run_stories)
def test_what_stands_last_in_the_terminal_is_the_answer(story: RunStory) -> None:
    answer = AnswerText(FIELDS)

    printed = "".join(answer.more(event.fact) for event in story.events)

    assert printed.endswith(story.answer)


def test_tokens_are_printed_as_they_come_and_once() -> None:
    answer = AnswerText(FIELDS)

    printed = [answer.more(fact) for fact in (a_token("Par"), a_token("is", offset=3), the_final("Paris"))]

    assert printed == ["Par", "is", ""]


def test_an_answer_that_was_taken_back_begins_on_a_new_line() -> None:
    answer = AnswerText(FIELDS)
    void = TextReplaced(field="answer", predictor="self", text="")

    printed = [answer.more(fact) for fact in (a_token("Rome"), void, a_token("Paris"), the_final("Paris"))]

    assert printed == ["Rome", "\n", "Paris", ""]


def test_the_text_of_another_field_is_not_the_answer() -> None:
    answer = AnswerText(FIELDS)

    printed = [answer.more(fact) for fact in (a_token("Hm", field="note"), the_final("Paris"))]

    assert printed == ["", "Paris"]


def test_a_program_without_an_answer_field_answers_with_all_its_outputs() -> None:
    answer = AnswerText(ChatFields(question="question", history=None, answer=None))
    final = Predicted(prediction={"reasoning": "Hm.", "city": "Paris", "land": "France"}, answer=None, usage=None)

    printed = [answer.more(fact) for fact in (a_token("Paris", field="city"), final)]

    assert printed == ["", '{"city": "Paris", "land": "France"}']
