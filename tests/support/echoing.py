"""A script that answers each question by repeating it, so that a test sees which question was answered."""

from dspy_service.domain.result import Usage
from dspy_service.domain.serving.run import Run
from dspy_service.domain.serving.run_events import Predicted, RunFact, TokenWritten


def echo(run: Run) -> list[RunFact]:
    """Write ``re: <question>`` in two tokens."""
    question = str(run.inputs["question"])
    first = TokenWritten(field="answer", predictor="self", text="re: ", offset=0)
    second = TokenWritten(field="answer", predictor="self", text=question, offset=4)
    text = f"re: {question}"
    prediction = {"reasoning": "Hm.", "answer": text, "sources": ["doc1.pdf"]}
    return [first, second, Predicted(prediction=prediction, answer=text, usage=Usage(total_tokens=450))]
