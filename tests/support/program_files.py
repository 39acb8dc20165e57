"""The files of a program that may be stored, as small as they get."""

import json
from typing import Any

FIELDS = {"self": ["text", "label"]}


def state(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """Return the state of ``dspy.Predict("text -> label")``, with other values where asked."""
    fields = [{"prefix": f"{name.title()}:", "description": f"${{{name}}}"} for name in FIELDS["self"]]
    return {
        "traces": [],
        "train": [],
        "demos": [{"augmented": True, "text": "Where is it?", "label": "delivery"}],
        "signature": {"instructions": "Route the ticket.", "fields": fields},
        "lm": None,
        "metadata": {"dependency_versions": {"python": "3.11", "dspy": "3.4.1", "cloudpickle": "3.1"}},
        **changes,
    }


def program_files(*, metadata: dict[str, Any] | None = None, pickle: bytes = b"pickle") -> dict[str, bytes]:
    """Return the three files that a runner sends."""
    return {
        "program.json": json.dumps(state()).encode(),
        "program.pkl": pickle,
        "metadata.json": json.dumps({"predictors": FIELDS, **(metadata or {})}).encode(),
    }
