"""Requests to start from."""

from typing import Any

SIGNATURE = """\
class QA(dspy.Signature):
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
"""
METRIC = "def metric(gold, pred, trace=None):\n    return float(gold.answer == pred.answer)\n"
GEPA_METRIC = "def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):\n    return 1.0\n"
MODEL = {"name": "demo/in-context"}
KEY = "sk-" + "a1b2" * 8


def payload(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # any field of the request
    """Return a request that is accepted, with ``changes``; a change to None takes the field out."""
    whole = {
        "signature_code": SIGNATURE,
        "metric_code": METRIC,
        "dataset": [{"q": f"question {index}", "a": "yes"} for index in range(20)],
        "column_mapping": {"inputs": {"question": "q"}, "outputs": {"answer": "a"}},
        "module_name": "predict",
        "optimizer_name": "miprov2",
        "optimizer_kwargs": {"auto": "light"},
        "compile_kwargs": {},
        "model_config": MODEL,
        "split_fractions": {"train": 0.5, "val": 0.3, "test": 0.2},
        "shuffle": True,
        "seed": 7,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def gepa(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # any field of the request
    """Return a GEPA request that is accepted, with ``changes``."""
    own = {
        "optimizer_name": "gepa",
        "metric_code": GEPA_METRIC,
        "optimizer_kwargs": {"auto": "light"},
        "reflection_model_config": MODEL,
    }
    return payload(**{**own, **changes})
