"""The demo's job: route support tickets to teams whose names say only part of what they do."""

import json
from pathlib import Path
from typing import Any

from dspy_service.client.errors import SubmissionError

SAMPLE_FILE = Path(__file__).parents[3] / "usage_guide" / "data" / "support_tickets.json"

MODEL = "demo/in-context?latency_ms=15"  # slow enough to watch, fast enough to wait for
SPLIT = {"train": 0.4, "val": 0.3, "test": 0.3}

METRIC = '''
def metric(gold, pred, trace=None):
    """1 when the ticket went to the right team."""
    return float(gold.team == pred.team)
'''


def sample_rows(file: Path = SAMPLE_FILE) -> list[dict[str, Any]]:
    """Return the sample tickets.

    Raises:
        SubmissionError: they are not here, as in an installed wheel.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = "The sample tickets are not here; run the demo from a checkout of the project."
        raise SubmissionError(message) from error
    return rows


def sample_payload(*, seed: int) -> dict[str, Any]:
    """Return the body of ``POST /run``; the seed draws the split and the optimizer's choices."""
    rows = sample_rows()
    teams = ", ".join(repr(team) for team in sorted({str(row["team"]) for row in rows}))
    signature = (
        "class RouteTicket(dspy.Signature):\n"
        '    """Route the support ticket to a team."""\n\n'
        "    ticket: str = dspy.InputField()\n"
        f"    team: Literal[{teams}] = dspy.OutputField()\n"
    )
    return {
        "signature_code": signature,
        "metric_code": METRIC,
        "dataset": rows,
        "column_mapping": {"inputs": {"ticket": "ticket"}, "outputs": {"team": "team"}},
        "module_name": "predict",
        "optimizer_name": "miprov2",
        "optimizer_kwargs": {"auto": "light", "seed": seed},
        "model_config": {"name": f"{MODEL}&seed={seed}"},
        "split_fractions": SPLIT,
        "seed": seed,
        "metadata": {"origin": "demo"},
    }
