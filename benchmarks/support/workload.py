"""The compile that is measured: rows, signature, metric, and the language model's answers, the same for both sides."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from benchmarks.support.measured_platform import ROOT
from dspy_service.client.demo.sample import METRIC, sample_payload
from tests.support.openai_server import Body, Reply, Script, demo_learner

GSM8K = ROOT.parent / "shared" / "data" / "gsm8k.json"
MODEL = "openai/benchmark"
EVALUATION_ROWS = 1024
WARM_CALLS = 1
"""Calls by which the plain side opens its connection before the clock starts."""

_RIGHT_SHARE = 0.6  # of the questions that the scripted model can answer: some demonstrations succeed, some do not

_GSM8K_SIGNATURE = '''
class Solve(dspy.Signature):
    """Solve the problem."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField(desc="the number alone")
'''
_GSM8K_METRIC = """
def metric(gold, pred, trace=None):
    return float(str(gold.answer).strip() == str(pred.answer).strip())
"""


@dataclass(frozen=True)
class Workload:
    """One job, as the body of ``POST /run`` without its model, and the model's script."""

    name: str
    body: dict[str, Any]
    script: Script

    def request(self, base_url: str) -> dict[str, Any]:
        """Return the body with the model at ``base_url``."""
        return {**self.body, "model_config": {"name": MODEL, "base_url": base_url}}


def compile_workload(rows: str, *, latency_seconds: float) -> Workload:
    """Return a MIPROv2 (light) compile.

    Args:
        rows: ``gsm8k``, ``tickets``, or ``auto``: GSM8K where its rows stand beside the checkout.
        latency_seconds: Of each answer.
    """
    if rows == "gsm8k" or (rows == "auto" and GSM8K.exists()):
        return _gsm8k(latency_seconds)
    tickets = {**sample_payload(seed=7), "optimizer_kwargs": {"auto": "light"}}
    return Workload("support tickets", tickets, demo_learner(delay_seconds=latency_seconds))


def evaluation_workload(*, latency_seconds: float) -> Workload:
    """Return a job that is almost only two evaluations of ``EVALUATION_ROWS`` distinct rows."""
    sample = sample_payload(seed=7)
    train = 8
    total = EVALUATION_ROWS + train
    dataset = [
        {**sample["dataset"][number % len(sample["dataset"])], "ticket": f"Ticket {number}"} for number in range(total)
    ]
    changes = {
        "dataset": dataset,
        "metric_code": METRIC,
        "optimizer_name": "labeled_few_shot",
        "optimizer_kwargs": {"k": 4},
        "split_fractions": {"train": train / total, "val": 0.0, "test": 1 - train / total},
    }
    text = "[[ ## team ## ]]\nbilling\n\n[[ ## completed ## ]]"
    return Workload("evaluation", {**sample, **changes}, lambda _body: Reply(text, delay_seconds=latency_seconds))


def _gsm8k(latency_seconds: float) -> Workload:
    rows = [{"question": str(row["question"]), "answer": str(row["answer"])} for row in json.loads(GSM8K.read_text())]
    known = {row["question"]: row["answer"] for row in rows}
    proposer = demo_learner(delay_seconds=latency_seconds)

    def script(body: Body) -> Reply:
        asked = str(body["messages"][-1]["content"]).rpartition("[[ ## question ## ]]\n")[2].partition("\n\n")[0]
        if asked not in known:
            return proposer(body)
        answer = known[asked] if _is_easy(asked) else "0"
        return Reply(f"[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]", delay_seconds=latency_seconds)

    body = {
        "signature_code": _GSM8K_SIGNATURE,
        "metric_code": _GSM8K_METRIC,
        "dataset": rows,
        "column_mapping": {"inputs": {"question": "question"}, "outputs": {"answer": "answer"}},
        "module_name": "predict",
        "optimizer_name": "miprov2",
        "optimizer_kwargs": {"auto": "light"},
        "split_fractions": {"train": 0.4, "val": 0.4, "test": 0.2},
        "seed": 7,
    }
    return Workload("GSM8K", body, script)


def _is_easy(question: str) -> bool:
    return hashlib.sha256(question.encode()).digest()[0] < 256 * _RIGHT_SHARE
