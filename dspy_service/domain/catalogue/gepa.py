"""GEPA: evolves instructions by reflecting on what went wrong."""

from dspy_service.domain.catalogue.entries import Kwarg, OptimizerEntry
from dspy_service.domain.catalogue.kwargs import check_kwargs
from dspy_service.domain.catalogue.rules import Asked, whole
from dspy_service.domain.catalogue.shared_kwargs import AUTO_CHOICES, COMMON_REFUSALS, NUM_THREADS
from dspy_service.domain.errors import UnsupportedRequestError

_BUDGETS = ("auto", "max_full_evals", "max_metric_calls")
_OBJECT = "it is a Python object and cannot be sent"
_TRACKING = "the service records every run itself and has no account elsewhere"

_ENGINE_OPTIONS = {
    "acceptance_criterion": Kwarg(
        kind="string", choices=("strict_improvement", "improvement_or_equal"), default="strict_improvement"
    ),
    "merge_val_overlap_floor": Kwarg(kind="integer", minimum=1, default=5),
}
"""Of ``gepa_kwargs``: what is plain data and is not already set by dspy.GEPA itself."""

_ENGINE_REFUSED = {
    **dict.fromkeys(("callbacks", "stop_callbacks", "logger", "reflection_strategy", "sampling_strategy"), _OBJECT),
    **dict.fromkeys(("batch_sampler", "selection_strategy", "val_evaluation_policy", "adapter"), _OBJECT),
    **dict.fromkeys(("task_lm", "reflection_lm"), "send model_config and reflection_model_config instead"),
    **dict.fromkeys(("use_wandb", "wandb_api_key", "wandb_init_kwargs", "wandb_attach_existing"), _TRACKING),
    **dict.fromkeys(
        (
            "use_mlflow",
            "mlflow_tracking_uri",
            "mlflow_experiment_name",
            "mlflow_attach_existing",
            "tracking_key_prefix",
        ),
        _TRACKING,
    ),
    "run_dir": COMMON_REFUSALS["run_dir"],
    "max_reflection_cost": "dspy.GEPA does not support it",
    "reflection_prompt_template": "dspy.GEPA does not support it",
    "seed": "send optimizer_kwargs.seed instead",
}

ENTRY = OptimizerEntry(
    name="gepa",
    factory="dspy.GEPA",
    also_known_as=("GEPA", "dspy.GEPA", "dspy.teleprompt.GEPA", "dspy.teleprompt.gepa.gepa.GEPA"),
    description="Rewrites instructions from reflections on failures; needs reflection_model_config.",
    kwargs={
        "auto": Kwarg(kind="string", choices=AUTO_CHOICES, nullable=True, description="Size of the search."),
        "max_full_evals": Kwarg(
            kind="integer", minimum=1, maximum=10_000, nullable=True, description="Budget in passes over train and val."
        ),
        "max_metric_calls": Kwarg(
            kind="integer", minimum=1, maximum=10_000_000, nullable=True, description="Budget in metric calls."
        ),
        "reflection_minibatch_size": Kwarg(kind="integer", minimum=1, maximum=1000, default=3),
        "candidate_selection_strategy": Kwarg(kind="string", choices=("pareto", "current_best"), default="pareto"),
        "skip_perfect_score": Kwarg(kind="boolean", default=True),
        "add_format_failure_as_feedback": Kwarg(kind="boolean", default=False),
        "component_selector": Kwarg(kind="string", choices=("round_robin", "all"), default="round_robin"),
        "use_merge": Kwarg(kind="boolean", default=True),
        "max_merge_invocations": Kwarg(kind="integer", minimum=0, maximum=1000, default=5, nullable=True),
        "num_threads": NUM_THREADS,
        "failure_score": Kwarg(kind="number", default=0.0),
        "perfect_score": Kwarg(kind="number", default=1.0),
        "track_stats": Kwarg(kind="boolean", default=False),
        "track_best_outputs": Kwarg(kind="boolean", default=False, description="Needs track_stats."),
        "warn_on_score_mismatch": Kwarg(kind="boolean", default=True),
        "seed": Kwarg(
            kind="integer",
            minimum=0,
            maximum=2**32 - 1,
            default=0,
            description="DSPy also takes null, a run that cannot be repeated; a job must be, so that it can resume.",
        ),
        "gepa_kwargs": Kwarg(
            kind="object",
            nullable=True,
            description="Of gepa.optimize: " + ", ".join(sorted(_ENGINE_OPTIONS)) + ".",
        ),
    },
    refused_kwargs={
        **COMMON_REFUSALS,
        "reflection_lm": "send reflection_model_config in the request instead",
        "instruction_proposer": _OBJECT,
        "code_proposer": _OBJECT,
        "use_wandb": _TRACKING,
        "wandb_api_key": "secrets are never sent; and " + _TRACKING,
        "wandb_init_kwargs": _TRACKING,
        "use_mlflow": _TRACKING,
    },
    role_kwargs={"reflection": "reflection_lm"},
    metric_style="feedback",
    metric_arity=5,
    needs_reflection_model=True,
    progress="gepa",
    keeps_best=True,
)


def rule(asked: Asked) -> None:
    """Check what GEPA asserts in its constructor, and that its budget buys at least one proposal."""
    given = [name for name in _BUDGETS if asked.kwargs[name] is not None]
    if len(given) != 1:
        problem = f"not {' and '.join(given)} together" if given else "none was sent"
        raise UnsupportedRequestError.of(
            "optimizer_kwargs", f"GEPA needs exactly one of {', '.join(_BUDGETS)}; {problem}"
        )
    if asked.kwargs["track_best_outputs"] and not asked.kwargs["track_stats"]:
        raise UnsupportedRequestError.of("optimizer_kwargs.track_best_outputs", "needs track_stats to be true")
    options = asked.kwargs["gepa_kwargs"]
    if isinstance(options, dict):
        field = "optimizer_kwargs.gepa_kwargs"
        check_kwargs(options, _ENGINE_OPTIONS, _ENGINE_REFUSED, field=field, owner=asked.optimizer)
    _budget_floor(asked)


def _budget_floor(asked: Asked) -> None:
    """GEPA scores the start on the whole valset first, and stops as soon as its budget is reached."""
    valset = asked.splits.val or asked.splits.train
    floor = valset + 1
    per_pass = asked.splits.train + asked.splits.val
    full_evals, calls = asked.kwargs["max_full_evals"], asked.kwargs["max_metric_calls"]
    if calls is not None and whole(calls) < floor:
        message = f"is {calls}, which the first score on {valset} validation rows uses up; send at least {floor}"
        raise UnsupportedRequestError.of("optimizer_kwargs.max_metric_calls", message)
    if full_evals is not None and whole(full_evals) * per_pass < floor:
        message = f"is {full_evals}, which the first score on {valset} validation rows uses up; send at least 2"
        raise UnsupportedRequestError.of("optimizer_kwargs.max_full_evals", message)
