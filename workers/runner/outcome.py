"""What a finished compile leaves behind, as data: the optimizer's own account and the files of the artifact."""

from collections.abc import Mapping
from typing import Any

import dspy

from dspy_service.domain.artifact_paths import METADATA, PROGRAM_PICKLE, PROGRAM_STATE
from dspy_service.domain.result import RunnerResult
from dspy_service.domain.strict_loading import fields_of
from workers.runner import artifact
from workers.runner.observing import GepaWatcher, Trials
from workers.runner.order import Order
from workers.runner.program import prompts_of
from workers.runner.reporting import plain


def optimization_metadata(
    order: Order,
    compiled: dspy.Module,
    *,
    best_score: float | None,
    trials: Trials,
    gepa: GepaWatcher,
    budget: int,
    metric_calls: int,
) -> dict[str, Any]:
    """Return what the optimizer did: arguments, scores on the valset, candidates, the winning prompts."""
    facts: dict[str, Any] = {
        "optimizer": order.optimizer.factory,
        "optimizer_kwargs": order.spec.optimizer_kwargs,
        "compile_kwargs": order.spec.compile_kwargs,
        "best_valset_score": best_score,
        "trials": trials.count,
        "candidates": trials.candidates,
        "metric_calls": metric_calls,
        "winning_prompts": prompts_of(compiled),
    }
    if budget:
        facts["gepa"] = {
            "budget": budget,
            "metric_calls": gepa.metric_calls,
            "accepted": gepa.accepted,
            "rejected": gepa.rejected,
        }
    data: dict[str, Any] = plain(facts)
    return data


def artifact_files(
    order: Order,
    compiled: dspy.Module,
    *,
    signature: type[Any],
    known: RunnerResult,
) -> list[tuple[str, bytes]]:
    """Return the files of the artifact in the order in which they are sent.

    Raises:
        JobFailed: the program cannot be saved; kind ``program_error``.
    """
    spec = order.spec
    facts: Mapping[str, Any] = {
        "job_id": order.job_id,
        "module_name": spec.module_name,
        "module_factory": order.module.factory,
        "module_kwargs": spec.module_kwargs,
        "optimizer_name": spec.optimizer_name,
        "optimizer_kwargs": spec.optimizer_kwargs,
        "compile_kwargs": spec.compile_kwargs,
        "metric_name": known.metric_name,
        "signature": artifact.signature_data(signature),
        "prompts": prompts_of(compiled),
        "predictors": fields_of(compiled),
        "adapter": "ChatAdapter",
        "models": {role: data["model"] for role, data in order.roles.items()},
        "split": known.split_counts.model_dump() if known.split_counts else None,
        "split_fractions": spec.split_fractions.model_dump(),
        "shuffle": spec.shuffle,
        "seed": spec.seed,
        "best_valset_score": known.optimization_metadata.get("best_valset_score"),
        "baseline_test_metric": known.baseline_test_metric,
        "optimized_test_metric": known.optimized_test_metric,
        "versions": known.versions,
    }
    return [
        (PROGRAM_STATE, artifact.state_json(compiled)),
        (PROGRAM_PICKLE, artifact.pickle_program(compiled)),
        (METADATA, artifact.metadata(facts)),
    ]
