"""MIPROv2: proposes instructions and demonstrations, then searches combinations of them."""

from dspy_service.domain.catalogue.entries import Kwarg, OptimizerEntry
from dspy_service.domain.catalogue.rules import Asked, whole
from dspy_service.domain.catalogue.shared_kwargs import (
    AUTO_CHOICES,
    COMMON_REFUSALS,
    MAX_ERRORS,
    METRIC_THRESHOLD,
    NUM_THREADS,
    demos,
)
from dspy_service.domain.errors import UnsupportedRequestError

_AUTO_VALSET_ROWS = {"light": 100, "medium": 300, "heavy": 1000}  # dspy.teleprompt.mipro_optimizer_v2.AUTO_RUN_SETTINGS
_AUTO_MINIBATCH_ABOVE = 50  # the same file's MIN_MINIBATCH_SIZE
_MAX_OWN_VALSET_ROWS = 1000  # what MIPROv2 keeps of the trainset when there is no valset
_UNSHUFFLED_SETS = 3  # zero-shot, labelled and unshuffled; every further set draws a bootstrapped size from 1

_MODEL = "send {field} in the request instead"

ENTRY = OptimizerEntry(
    name="miprov2",
    factory="dspy.MIPROv2",
    also_known_as=(
        "MIPROv2",
        "dspy.MIPROv2",
        "dspy.teleprompt.MIPROv2",
        "dspy.teleprompt.mipro_optimizer_v2.MIPROv2",
    ),
    description="Writes instructions and picks demonstrations, searched together by Bayesian optimization.",
    kwargs={
        "auto": Kwarg(
            kind="string",
            choices=AUTO_CHOICES,
            nullable=True,
            default="light",
            description="Size of the search; null asks for num_candidates and compile_kwargs.num_trials instead.",
        ),
        "max_bootstrapped_demos": demos(4, "Demonstrations made by running the program."),
        "max_labeled_demos": demos(4, "Demonstrations taken from the training rows."),
        "num_candidates": Kwarg(
            kind="integer", minimum=1, maximum=1000, nullable=True, description="Candidates per predictor; auto: null."
        ),
        "num_threads": NUM_THREADS,
        "max_errors": MAX_ERRORS,
        "seed": Kwarg(kind="integer", minimum=0, maximum=2**32 - 1, default=9),
        "init_temperature": Kwarg(
            kind="number", minimum=0, maximum=2, default=1.0, description="Of the instruction proposer."
        ),
        "verbose": Kwarg(kind="boolean", default=False, description="Logs every prompt that is tried."),
        "track_stats": Kwarg(kind="boolean", default=True),
        "metric_threshold": METRIC_THRESHOLD,
    },
    compile_kwargs={
        "num_trials": Kwarg(
            kind="integer", minimum=1, maximum=10_000, nullable=True, description="Combinations tried; auto: null."
        ),
        "max_bootstrapped_demos": demos(None, "Overrides optimizer_kwargs.", nullable=True),
        "max_labeled_demos": demos(None, "Overrides optimizer_kwargs.", nullable=True),
        "seed": Kwarg(kind="integer", minimum=0, maximum=2**32 - 1, nullable=True),
        "minibatch": Kwarg(kind="boolean", default=True, description="Score most trials on a part of the valset."),
        "minibatch_size": Kwarg(kind="integer", minimum=1, default=35, description="At most the rows of the valset."),
        "minibatch_full_eval_steps": Kwarg(kind="integer", minimum=1, default=5),
        "program_aware_proposer": Kwarg(kind="boolean", default=True),
        "data_aware_proposer": Kwarg(kind="boolean", default=True),
        "view_data_batch_size": Kwarg(kind="integer", minimum=1, maximum=1000, default=10),
        "tip_aware_proposer": Kwarg(kind="boolean", default=True),
        "fewshot_aware_proposer": Kwarg(kind="boolean", default=True),
        "provide_traceback": Kwarg(kind="boolean", nullable=True),
    },
    refused_kwargs={
        **COMMON_REFUSALS,
        "prompt_model": _MODEL.format(field="prompt_model_config"),
        "task_model": _MODEL.format(field="task_model_config"),
        "requires_permission_to_run": "DSPy removed the confirmation; leave it out",
    },
    role_kwargs={"prompt": "prompt_model", "task": "task_model"},
    progress="mipro",
    keeps_best=True,
)


def rule(asked: Asked) -> None:
    """Check what MIPROv2.compile would raise only after the baseline was paid for."""
    _budget(asked)
    if asked.compile_kwargs["seed"] == 0:
        raise UnsupportedRequestError.of(
            "compile_kwargs.seed", "MIPROv2 ignores a 0 here; put seed in optimizer_kwargs, or use another number"
        )
    _demonstrations(asked)
    _validation_rows(asked)


def _budget(asked: Asked) -> None:
    """Either ``auto`` sizes the search, or both numbers do."""
    auto = asked.kwargs["auto"]
    candidates, trials = asked.kwargs["num_candidates"], asked.compile_kwargs["num_trials"]
    fields = {"optimizer_kwargs.num_candidates": candidates, "compile_kwargs.num_trials": trials}
    for field, value in fields.items():
        if auto is not None and value is not None:
            message = (
                f"cannot be combined with auto={auto!r}; send optimizer_kwargs.auto = null to size the search by hand"
            )
            raise UnsupportedRequestError.of(field, message)
        if auto is None and value is None:
            raise UnsupportedRequestError.of(field, "is needed when optimizer_kwargs.auto is null")


def _demonstrations(asked: Asked) -> None:
    """Labelled demonstrations alone fail in DSPy: it draws the size of a bootstrapped set from 1 to 0."""
    bootstrapped, labeled = (
        asked.kwargs[name] if asked.compile_kwargs[name] is None else asked.compile_kwargs[name]
        for name in ("max_bootstrapped_demos", "max_labeled_demos")
    )
    sets = asked.kwargs["num_candidates"]
    shuffled_sets = sets is None or whole(sets) > _UNSHUFFLED_SETS
    if bootstrapped == 0 and whole(labeled) > 0 and shuffled_sets:
        raise UnsupportedRequestError.of(
            "optimizer_kwargs.max_bootstrapped_demos",
            "MIPROv2 cannot use labelled demonstrations alone; send at least 1, or set max_labeled_demos to 0 too",
        )


def _validation_rows(asked: Asked) -> None:
    """A minibatch must fit into the rows that MIPROv2 will validate on."""
    auto = asked.kwargs["auto"]
    rows = asked.splits.val
    if rows == 0:
        if asked.splits.train < 2:  # noqa: PLR2004  # one row to train on and one to validate
            raise UnsupportedRequestError.of(
                "split_fractions.val", "is empty, and train has too few rows for MIPROv2 to divide: it needs 2"
            )
        rows = min(_MAX_OWN_VALSET_ROWS, max(1, int(asked.splits.train * 0.8)))
    minibatch = asked.compile_kwargs["minibatch"]
    if isinstance(auto, str):
        rows = min(rows, _AUTO_VALSET_ROWS[auto])
        minibatch = rows > _AUTO_MINIBATCH_ABOVE
    size = whole(asked.compile_kwargs["minibatch_size"])
    if minibatch and size > rows:
        raise UnsupportedRequestError.of(
            "compile_kwargs.minibatch_size",
            f"is {size}, but there are only {rows} validation rows; make it smaller, or set minibatch to false",
        )
