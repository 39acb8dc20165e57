"""One job for each optimizer that calls a model: small, with repeated rows, and the same in every run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dspy_service.domain.catalogue.entries import OptimizerEntry
from dspy_service.domain.catalogue.registry import Registry
from tests.support.payloads import FEEDBACK_METRIC, METRIC, ticket_request, ticket_rows

DISTINCT_ROWS: Final = 45
REPEATED_ROWS: Final = 15
SPLIT: Final = {"train": 0.4, "val": 0.3, "test": 0.3}

_KWARGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "bootstrap_few_shot": {"max_bootstrapped_demos": 8, "max_rounds": 3},  # later rounds ask the same with a rollout id
    "bootstrap_few_shot_with_random_search": {"num_candidate_programs": 10, "max_bootstrapped_demos": 3},
    "gepa": {"max_metric_calls": 300},
    "labeled_few_shot": {"k": 4},
    "miprov2": {"auto": "light"},
}
"""Of the constructor; an optimizer that is not here has DSPy's defaults."""

SHORT_NAMES: Final[Mapping[str, str]] = {
    "bootstrap_few_shot": "bootstrap",
    "bootstrap_few_shot_with_random_search": "random search",
    "labeled_few_shot": "labeled",
}


@dataclass(frozen=True)
class Search:
    """An optimizer, and what it is asked to do."""

    entry: OptimizerEntry

    @property
    def name(self) -> str:
        """How tables call it."""
        return SHORT_NAMES.get(self.entry.name, self.entry.name)

    def body(self, *, model: str, base_url: str) -> dict[str, Any]:
        """Return the body of ``POST /run``.

        Args:
            model: What the job calls its model, without a provider: tells its requests from those of other jobs.
            base_url: Of an OpenAI-compatible server.
        """
        rows = ticket_rows(DISTINCT_ROWS)
        rows += rows[:REPEATED_ROWS]
        settings = {"name": f"openai/{model}", "base_url": base_url, "max_tokens": 400}
        wants_feedback = self.entry.metric_style == "feedback"
        body = ticket_request(
            rows,
            metric_code=FEEDBACK_METRIC if wants_feedback else METRIC,
            optimizer_name=self.entry.name,
            optimizer_kwargs=dict(_KWARGS.get(self.entry.name, {})),
            model_config=settings,
            split_fractions=SPLIT,
        )
        return body | ({"reflection_model_config": settings} if self.entry.needs_reflection_model else {})


def searches(names: list[str] | None = None, *, resumable_only: bool = False) -> list[Search]:
    """Return one search for each optimizer of the catalogue.

    Args:
        names: Any names of those that are wanted; None: all.
        resumable_only: Leave out those that say that they cannot resume.

    Raises:
        UnsupportedRequestError: there is no optimizer of such a name.
    """
    registry = Registry()
    entries = [registry.optimizer(name) for name in names or registry.optimizer_names]
    return [Search(entry) for entry in entries if entry.resumable or not resumable_only]
