"""One small job for each optimizer of the catalogue."""

from typing import Any

from tests.integration.runner.session import FEEDBACK_METRIC, body

REFLECTION = {"reflection_model_config": {"name": "openai/scripted"}}
DEMOS = {"max_bootstrapped_demos": 2, "max_labeled_demos": 2}

SPECS: dict[str, dict[str, Any]] = {
    "labeled_few_shot": body("labeled_few_shot", optimizer_kwargs={"k": 3}),
    "bootstrap_few_shot": body("bootstrap_few_shot", optimizer_kwargs=DEMOS),
    "bootstrap_few_shot_with_random_search": body(
        "bootstrap_few_shot_with_random_search",
        optimizer_kwargs={**DEMOS, "num_candidate_programs": 3},
    ),
    "miprov2": body("miprov2", module_name="cot"),
    "gepa": body("gepa", metric_code=FEEDBACK_METRIC, optimizer_kwargs={"max_metric_calls": 60}, **REFLECTION),
}

TAKES_VALSET = ("bootstrap_few_shot_with_random_search", "miprov2", "gepa")
