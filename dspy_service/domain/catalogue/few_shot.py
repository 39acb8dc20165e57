"""The few-shot family: demonstrations from labelled rows, from the program's own successes, or searched at random."""

from dspy_service.domain.catalogue.entries import Kwarg, OptimizerEntry
from dspy_service.domain.catalogue.rules import Asked, whole
from dspy_service.domain.catalogue.shared_kwargs import (
    COMMON_REFUSALS,
    MAX_DEMOS,
    MAX_ERRORS,
    METRIC_THRESHOLD,
    NUM_THREADS,
    demos,
)
from dspy_service.domain.errors import UnsupportedRequestError

_FIRST_CANDIDATE = -3  # zero-shot; -2 is labels only, -1 unshuffled

LABELED = OptimizerEntry(
    name="labeled_few_shot",
    factory="dspy.LabeledFewShot",
    also_known_as=(
        "LabeledFewShot",
        "dspy.LabeledFewShot",
        "dspy.teleprompt.LabeledFewShot",
        "dspy.teleprompt.vanilla.LabeledFewShot",
    ),
    description="Puts k training rows into the prompt; calls no model.",
    kwargs={"k": Kwarg(kind="integer", minimum=1, maximum=MAX_DEMOS, default=16, description="Demonstrations.")},
    compile_kwargs={"sample": Kwarg(kind="boolean", default=True, description="At random, or the first k.")},
    refused_kwargs=COMMON_REFUSALS,
    metric_style="none",
    takes_valset=False,
    progress="none",
)

BOOTSTRAP = OptimizerEntry(
    name="bootstrap_few_shot",
    factory="dspy.BootstrapFewShot",
    also_known_as=(
        "BootstrapFewShot",
        "dspy.BootstrapFewShot",
        "dspy.teleprompt.BootstrapFewShot",
        "dspy.teleprompt.bootstrap.BootstrapFewShot",
    ),
    description="Runs the program on training rows and keeps what the metric accepts as demonstrations.",
    kwargs={
        "metric_threshold": METRIC_THRESHOLD,
        "max_bootstrapped_demos": demos(4, "Demonstrations made by running the program."),
        "max_labeled_demos": demos(16, "Demonstrations taken from the training rows."),
        "max_rounds": Kwarg(kind="integer", minimum=1, maximum=100, default=1, description="Attempts per row."),
        "max_errors": MAX_ERRORS,
    },
    refused_kwargs=COMMON_REFUSALS,
    takes_valset=False,
    progress="bootstrap",
)

RANDOM_SEARCH = OptimizerEntry(
    name="bootstrap_few_shot_with_random_search",
    factory="dspy.BootstrapFewShotWithRandomSearch",
    also_known_as=(
        "bootstrap_rs",
        "BootstrapRS",
        "BootstrapFewShotWithRandomSearch",
        "dspy.BootstrapRS",
        "dspy.BootstrapFewShotWithRandomSearch",
        "dspy.teleprompt.BootstrapFewShotWithRandomSearch",
        "dspy.teleprompt.random_search.BootstrapFewShotWithRandomSearch",
    ),
    description="Bootstraps many sets of demonstrations and keeps the one with the best validation score.",
    kwargs={
        "max_bootstrapped_demos": demos(4, "At most, per set; DSPy draws from 1.", minimum=1),
        "max_labeled_demos": demos(16, "Demonstrations taken from the training rows."),
        "max_rounds": Kwarg(kind="integer", minimum=1, maximum=100, default=1, description="Attempts per row."),
        "num_candidate_programs": Kwarg(
            kind="integer", minimum=0, maximum=1000, default=16, description="Sets on top of DSPy's three fixed ones."
        ),
        "num_threads": NUM_THREADS,
        "max_errors": MAX_ERRORS,
        "stop_at_score": Kwarg(
            kind="number", minimum=0, nullable=True, description="Validation score in percent, 0 to 100."
        ),
        "metric_threshold": METRIC_THRESHOLD,
    },
    compile_kwargs={
        "restrict": Kwarg(
            kind="array", nullable=True, description="Only these candidates: -3 to num_candidate_programs - 1."
        ),
        "labeled_sample": Kwarg(kind="boolean", default=True),
    },
    refused_kwargs=COMMON_REFUSALS,
    progress="random_search",
    keeps_best=True,
)


def random_search_rule(asked: Asked) -> None:
    """Check that ``restrict`` names candidates that exist."""
    restrict = asked.compile_kwargs["restrict"]
    if not isinstance(restrict, list):
        return
    end = whole(asked.kwargs["num_candidate_programs"])
    known = range(_FIRST_CANDIDATE, end)
    if not restrict or any(isinstance(each, bool) or each not in known for each in restrict):
        raise UnsupportedRequestError.of(
            "compile_kwargs.restrict", f"must list integers from {_FIRST_CANDIDATE} to {end - 1}"
        )
