"""Kwargs and refusals that several of DSPy's optimizers have in common."""

from dspy_service.domain.catalogue.entries import Kwarg

MAX_THREADS = 256  # above it the broker's own concurrency limit decides anyway
MAX_DEMOS = 256  # a prompt with more demonstrations passes every context window

AUTO_CHOICES = ("light", "medium", "heavy")

NUM_THREADS = Kwarg(
    kind="integer", minimum=1, maximum=MAX_THREADS, nullable=True, description="Rows evaluated at the same time."
)
MAX_ERRORS = Kwarg(
    kind="integer", minimum=1, nullable=True, description="Failed rows after which the run gives up; null: DSPy's 10."
)
METRIC_THRESHOLD = Kwarg(
    kind="number", nullable=True, description="Score from which a bootstrapped demonstration is accepted."
)


def demos(default: int | None, description: str, *, minimum: int = 0, nullable: bool = False) -> Kwarg:
    """Make the kwarg of a number of demonstrations."""
    return Kwarg(
        kind="integer",
        minimum=minimum,
        maximum=MAX_DEMOS,
        default=default,
        nullable=nullable,
        description=description,
    )


SUPPLIED = {
    "metric": "send metric_code; the service loads it",
    "trainset": "send dataset and split_fractions; the service splits the rows",
    "valset": "send dataset and split_fractions; the service splits the rows",
    "student": "send module_name and signature_code; the service builds the program",
    "teacher": "a teacher program is a Python object and cannot be sent",
}
"""What every optimizer receives from the service."""

TEACHER_SETTINGS = "it holds Python objects; the teacher uses model_config"

LOG_DIR = "it names a path on the server; the service keeps logs and results itself"

COMMON_REFUSALS = {
    **SUPPLIED,
    "teacher_settings": TEACHER_SETTINGS,
    "callbacks": "callbacks are Python objects and cannot be sent; the service records progress itself",
    "log_dir": LOG_DIR,
    "run_dir": LOG_DIR,
    "save_as_csv": "it names a path on the server",
    "save_as_json": "it names a path on the server",
}
"""Refused for every optimizer, whether or not its own signature has the name: the reason helps more than 'unknown'."""
