"""Checks what a job may spend against what its optimizer and its models can do with it."""

from dspy_service.domain.budget import Budget, RoleBudgets
from dspy_service.domain.catalogue.entries import OptimizerEntry
from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.spec import RunRequest

_NEED_THE_BEST = {
    "stop_at_score": "it would never know whether the score is reached",
    "patience": "it would never know whether there is a new best",
}


def check_budget(request: RunRequest, optimizer: OptimizerEntry) -> None:
    """Refuse bounds that could not do what they say.

    A small bound is no mistake: a job that can do nothing within it ends ``failed``, reason ``budget_exhausted``.

    Raises:
        UnsupportedRequestError: names the field.
    """
    budget = request.budget
    if budget is None:
        return
    for name, why in _NEED_THE_BEST.items():
        if getattr(budget, name) is not None and not optimizer.keeps_best:
            message = (
                f"{request.optimizer_name} does not score whole programs while it compiles, so {why}; leave it out"
            )
            raise _refused(name, message)
    _check_roles(budget, request)


def _check_roles(budget: Budget, request: RunRequest) -> None:
    asked = request.models()
    for role in RoleBudgets.model_fields:
        if not budget.of_role(role).is_empty and role not in asked:
            raise _refused(f"roles.{role}", f"this job has no {role} model; send one, or leave the bound out")


def _refused(name: str, message: str) -> UnsupportedRequestError:
    return UnsupportedRequestError.of(f"budget.{name}", message)
