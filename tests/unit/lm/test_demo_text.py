"""The demo model in the format without markers: it knows as much as in DSPy's own."""

import dspy

from workers.lm.demo.answering import answer
from workers.lm.demo.prompt import Style, read_prompt
from workers.serving.plain_adapter import PlainTextAdapter

_DEMOS = [
    {"question": "Who wrote Emma?", "answer": "Jane Austen wrote it."},
    {"question": "Who wrote Ulysses?", "answer": "James Joyce wrote it."},
]


def test_demonstrations_and_the_question_are_read() -> None:
    signature = dspy.Signature("question -> answer")

    prompt = read_prompt(PlainTextAdapter().format(signature, _DEMOS, {"question": "Who wrote Emma?"}))

    assert prompt.style is Style.TEXT
    assert [field.name for field in prompt.outputs] == ["answer"]
    assert list(prompt.demos) == _DEMOS
    assert prompt.query == {"question": "Who wrote Emma?"}


def test_the_answer_is_the_bare_text_and_what_it_is_with_markers() -> None:
    signature = dspy.Signature("question -> answer")
    asked = {"question": "Who wrote Emma?"}

    bare = answer(PlainTextAdapter().format(signature, _DEMOS, asked))
    marked = answer(dspy.ChatAdapter().format(signature, _DEMOS, asked))

    assert bare == "Jane Austen wrote it."
    assert dspy.ChatAdapter().parse(signature, marked) == {"answer": bare}
