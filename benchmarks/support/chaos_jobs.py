"""The jobs of the chaos run: all optimizers, small, with a model that takes its time."""

import random
from collections.abc import Mapping
from typing import Any, Final

from tests.support.payloads import FEEDBACK_METRIC, ticket_request, ticket_rows

_MODEL: Final = {"name": "demo/in-context?latency_ms=60&latency_sigma=0.5"}
_ROWS: Final = 30

OPTIMIZERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "labeled_few_shot": {"optimizer_kwargs": {"k": 4}},
    "bootstrap_few_shot": {"optimizer_kwargs": {"max_bootstrapped_demos": 3}},
    "bootstrap_few_shot_with_random_search": {
        "optimizer_kwargs": {"num_candidate_programs": 4, "max_bootstrapped_demos": 2, "num_threads": 4},
    },
    "miprov2": {
        "optimizer_kwargs": {"auto": None, "num_candidates": 3, "max_bootstrapped_demos": 2, "num_threads": 4},
        "compile_kwargs": {"num_trials": 4, "minibatch": False},
    },
    "gepa": {
        "optimizer_kwargs": {"max_metric_calls": 80, "num_threads": 4},
        "metric_code": FEEDBACK_METRIC,
        "reflection_model_config": _MODEL,
    },
}


def a_body(draw: random.Random) -> dict[str, Any]:
    """Return a body for ``POST /run`` with some seconds of work."""
    name = draw.choice(list(OPTIMIZERS))
    rows = draw.sample(ticket_rows(), _ROWS)
    fractions = {"train": 0.4, "val": 0.4, "test": 0.2}
    changes = {"model_config": _MODEL, "split_fractions": fractions, "seed": draw.randrange(1, 1000)}
    return ticket_request(rows, **changes, optimizer_name=name, **OPTIMIZERS[name])
