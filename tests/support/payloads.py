"""Requests that tests submit: the sample tickets, and GSM8K where its rows stand beside the checkout."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k.json"

MATH_SIGNATURE = '''
class Math(dspy.Signature):
    """Solve the problem and give the final number."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField(desc="the number alone")
'''

MATH_METRIC = """
def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    right = str(gold.answer).strip() == str(pred.answer).strip()
    return dspy.Prediction(score=float(right), feedback="" if right else f"The answer is {gold.answer}.")
"""

METRIC = """
def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return float(gold.team == pred.team)
"""

FEEDBACK_METRIC = """
def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    right = gold.team == pred.team
    feedback = "Right." if right else f"Wrong: this ticket belongs to {gold.team}, not to {pred.team}."
    return dspy.Prediction(score=float(right), feedback=feedback)
"""


def ticket_rows(count: int | None = None) -> list[dict[str, Any]]:
    """Return the first ``count`` sample tickets, or all."""
    rows: list[dict[str, Any]] = json.loads((ROOT / "usage_guide" / "data" / "support_tickets.json").read_text())
    return rows[:count]


def ticket_signature(rows: list[dict[str, Any]]) -> str:
    """Return source of a signature typed with the teams that occur."""
    teams = ", ".join(repr(team) for team in sorted({row["team"] for row in rows}))
    return (
        "class Route(dspy.Signature):\n"
        '    """Route the support ticket to a team."""\n\n'
        "    ticket: str = dspy.InputField()\n"
        f"    team: Literal[{teams}] = dspy.OutputField()\n"
    )


def ticket_request(rows: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return a body for ``POST /run`` that a worker finishes in about a second."""
    rows = rows or ticket_rows(40)
    body: dict[str, Any] = {
        "signature_code": ticket_signature(rows),
        "metric_code": METRIC,
        "dataset": rows,
        "column_mapping": {"inputs": {"ticket": "ticket"}, "outputs": {"team": "team"}},
        "module_name": "predict",
        "optimizer_name": "labeled_few_shot",
        "optimizer_kwargs": {"k": 4},
        "compile_kwargs": {},
        "model_config": {"name": "demo/in-context"},
        "split_fractions": {"train": 0.5, "val": 0.3, "test": 0.2},
        "shuffle": True,
        "seed": 7,
    }
    return {**body, **changes}


def math_request(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return a body for ``POST /run`` on rows with a question and an answer."""
    body: dict[str, Any] = {
        "signature_code": MATH_SIGNATURE,
        "metric_code": MATH_METRIC,
        "dataset": rows,
        "column_mapping": {"inputs": {"question": "question"}, "outputs": {"answer": "answer"}},
        "module_name": "cot",
        "split_fractions": {"train": 0.4, "val": 0.3, "test": 0.3},
        "seed": 3,
    }
    return {**body, **changes}
