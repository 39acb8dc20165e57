"""Complete requests that run as they stand, and what errors look like, for the documentation page."""

from typing import Any

from dspy_service.domain import caller_errors, errors
from dspy_service.domain.serving import errors as serving_errors
from dspy_service.domain.serving.run import RunError

_SIGNATURE = '''\
from typing import Literal

class RouteTicket(dspy.Signature):
    """Route a support ticket to the team that can solve it."""

    ticket: str = dspy.InputField()
    team: Literal["billing", "delivery", "technical"] = dspy.OutputField()
'''

_METRIC = """\
def metric(gold, pred, trace=None):
    return float(pred.team == gold.team)
"""

_GEPA_METRIC = """\
def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    right = pred.team == gold.team
    feedback = "Correct." if right else f"Wrong: the right team is {gold.team}, not {pred.team}."
    return dspy.Prediction(score=float(right), feedback=feedback)
"""

_TICKETS = {
    "billing": (
        "I was charged twice this month",
        "The invoice shows the wrong tax number",
        "Please refund the second payment",
        "My credit card was declined although it is valid",
        "Why did the subscription price go up?",
        "I need a receipt for my last payment",
        "The discount code was not taken off the invoice",
        "When will the refund reach my bank account?",
    ),
    "delivery": (
        "My parcel has not arrived yet",
        "The courier left the box at the wrong address",
        "Can I change the delivery date of my parcel?",
        "The tracking page says the package is lost",
        "Half of the shipment is missing",
        "The box arrived wet and torn",
        "Please send the parcel to my office address instead",
        "The courier never rang the bell",
    ),
    "technical": (
        "The app crashes when I open the settings",
        "I cannot log in after the update",
        "The export button does nothing",
        "Error 500 when I upload a file",
        "The page stays blank in my browser",
        "The password reset link does not work",
        "Notifications stopped after the last update",
        "The app freezes on the login screen",
    ),
}


def _rows() -> list[dict[str, str]]:
    """Interleave the teams, so that every split has some of each."""
    return [
        {"text": text, "queue": team}
        for texts in zip(*_TICKETS.values(), strict=True)
        for team, text in zip(_TICKETS, texts, strict=True)
    ]


def _request(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  # any field of the request
    return {
        "signature_code": _SIGNATURE,
        "metric_code": _METRIC,
        "column_mapping": {"inputs": {"ticket": "text"}, "outputs": {"team": "queue"}},
        "module_name": "predict",
        "model_config": {"name": "demo/in-context"},
        "split_fractions": {"train": 0.5, "val": 0.25, "test": 0.25},
        "seed": 2,  # a split whose six test rows leave every optimizer something to improve
        **fields,
        "dataset": _rows(),
    }


RUN_EXAMPLES: dict[str, dict[str, Any]] = {
    "miprov2": {
        "summary": "MIPROv2 on the demo model",
        "description": "Searches instructions and demonstrations; no key, no network.",
        "value": _request(optimizer_name="miprov2", optimizer_kwargs={"auto": "light"}),
    },
    "gepa": {
        "summary": "GEPA on the demo model",
        "description": "Rewrites the instruction from the metric's feedback; needs a reflection model.",
        "value": _request(
            optimizer_name="gepa",
            optimizer_kwargs={"max_metric_calls": 100},
            metric_code=_GEPA_METRIC,
            reflection_model_config={"name": "demo/in-context"},
        ),
    },
    "few_shot": {
        "summary": "BootstrapFewShot, the flat mapping",
        "description": "The fastest: one pass over the training rows.",
        "value": _request(optimizer_name="bootstrap_few_shot", column_mapping={"ticket": "text", "team": "queue"}),
    },
}
"""As the OpenAPI document wants them."""


def _error(error: errors.ServiceError) -> dict[str, Any]:
    detail: Any = str(error)
    if isinstance(error, errors.InvalidRequestError):
        detail = [problem.model_dump() for problem in error.problems]
    return {"error": error.code, "detail": detail, "request_id": "9f2c1f0d3a6b4e0f8f6f0c7f5a1d2b3c"}


def _run_error(error: RunError) -> dict[str, Any]:
    return {**_error(serving_errors.RunFailedError(_RUN_ID, error)), "error": error.code}


_RUN_ID = "run_01a1f773-2525-7714-804e-610da14c487f"
_JOB_ID = "01a1f773-2525-7714-804e-610da14c487f"

ERROR_EXAMPLES: dict[str, dict[str, Any]] = {
    "400": _error(errors.UnsupportedRequestError("There is no optimizer 'mipro'; did you mean 'miprov2'?")),
    "401": _error(caller_errors.UnauthenticatedError("none was sent")),
    "403": _error(caller_errors.ScopeMissingError("jobs:write")),
    "404": _error(errors.JobNotFoundError(_JOB_ID)),
    "409": _error(errors.JobNotFinishedError(_JOB_ID, "running")),
    "412": _error(serving_errors.AliasMovedError("production", 4)),
    "413": _error(errors.PayloadTooLargeError(8 * 2**20)),
    "422": _error(errors.InvalidRequestError.of("dataset", "is empty; send at least one")),
    "429": _error(caller_errors.RateLimitedError(600, 3)),
    "500": _error(errors.ArtifactCorruptError("result.json", "its content was changed")),
    "502": _run_error(RunError(code="lm_transport", message="The connection to the model broke.", retryable=True)),
    "503": _error(errors.StoreUnavailableError("store")),
    "504": _run_error(RunError(code="lm_timeout", message="The model took too long.", retryable=True)),
}
"""By HTTP status, made of the errors themselves."""
