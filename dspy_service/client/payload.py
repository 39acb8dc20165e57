"""From Python objects to the body of ``POST /run``."""

import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

from dspy_service.client.errors import SubmissionError
from dspy_service.client.source import serialize_source
from dspy_service.domain.budget import Budget
from dspy_service.domain.spec import ColumnMapping, JobLimits, ModelSettings, SplitFractions
from dspy_service.domain.webhook import Webhook

Fields: TypeAlias = Mapping[str, str] | Sequence[str]
"""``{field: column}``, or names that are both."""

Model: TypeAlias = str | Mapping[str, Any] | ModelSettings
"""A model's name, or its settings as ``model_config`` takes them."""

SignatureLike: TypeAlias = type[Any] | str
"""A signature class, its source, or DSPy's short form ``"question -> answer"``."""

MetricLike: TypeAlias = Callable[..., Any] | str
"""A metric function or its source."""

DEFAULT_MODEL = "demo/in-context"


class SubmitOptions(TypedDict, total=False):
    """Everything about a job that has a default.

    ``inputs`` and ``outputs`` map signature fields to columns; left out, fields are columns of the same name.
    ``budget`` bounds what is spent, ``limits`` what the machine gives, ``webhook`` (an address) is told of the end, and
    ``cache`` shares answers of language models between your jobs. Of your own waiting jobs, those with the higher
    ``priority`` (0 to 9, usually 5) start first.
    ``idempotency_key`` makes a second ``submit`` of the same body answer with the first job.
    """

    inputs: Fields
    outputs: Fields
    column_mapping: Mapping[str, Any] | ColumnMapping
    module: str
    module_kwargs: Mapping[str, Any]
    optimizer: str
    optimizer_kwargs: Mapping[str, Any]
    compile_kwargs: Mapping[str, Any]
    model: Model
    prompt_model: Model
    task_model: Model
    reflection_model: Model
    split: Mapping[str, float] | SplitFractions
    shuffle: bool
    seed: int
    budget: Mapping[str, Any] | Budget
    limits: Mapping[str, Any] | JobLimits
    priority: int
    cache: bool
    webhook: str | Mapping[str, Any] | Webhook
    metadata: Mapping[str, str]
    idempotency_key: str


_RENAMED = {
    "module": "module_name",
    "optimizer": "optimizer_name",
    "split": "split_fractions",
    "model": "model_config",
    "prompt_model": "prompt_model_config",
    "task_model": "task_model_config",
    "reflection_model": "reflection_model_config",
}
_NOT_SENT = frozenset({"inputs", "outputs", "column_mapping", "idempotency_key"})


def build(
    signature: SignatureLike, metric: MetricLike, dataset: Iterable[Any], options: SubmitOptions
) -> dict[str, object]:
    """Return the body of ``POST /run``.

    Raises:
        SourceError: the signature or the metric cannot become source.
        SubmissionError: the mapping is missing or ambiguous, or a row is not JSON.
    """
    if isinstance(signature, str) and "->" in signature and "class " not in signature:
        signature = _expand(signature)
    settings: SubmitOptions = {"optimizer": "miprov2", "model": DEFAULT_MODEL, **options}
    rows = [_row(number, row) for number, row in enumerate(dataset)]
    return {
        "signature_code": signature if isinstance(signature, str) else serialize_source(signature),
        "metric_code": metric if isinstance(metric, str) else serialize_source(metric),
        "dataset": rows,
        "column_mapping": _mapping(signature, settings),
        **{_RENAMED.get(name, name): _plain(name, value) for name, value in settings.items() if name not in _NOT_SENT},
    }


def _expand(short: str) -> type[Any]:
    """Let DSPy read its own short form; it alone knows the grammar."""
    try:
        dspy = importlib.import_module("dspy")
    except ModuleNotFoundError as error:
        message = f"The short signature {short!r} needs dspy here; install it or submit a class definition."
        raise SubmissionError(message) from error
    made: type[Any] = dspy.Signature(short)
    return made


def _row(number: int, row: object) -> dict[str, object]:
    convert = getattr(row, "toDict", None)  # a dspy.Example
    values = convert() if callable(convert) else row
    if not isinstance(values, Mapping):
        message = f"dataset.{number}: a row is a mapping of column names to values, not {type(row).__name__}."
        raise SubmissionError(message)
    try:
        json.dumps(dict(values), allow_nan=False)
    except (TypeError, ValueError) as error:
        message = f"dataset.{number}: the row is not JSON: {error}."
        raise SubmissionError(message) from error
    return dict(values)


def _plain(name: str, value: Any) -> object:  # noqa: ANN401  # the values of SubmitOptions
    if isinstance(value, ModelSettings | SplitFractions | Budget | JobLimits | Webhook):
        return value.model_dump(mode="json", exclude_none=True)
    if name.endswith("model") and isinstance(value, str):
        return {"name": value}
    if name == "webhook" and isinstance(value, str):
        return {"url": value}
    return dict(value) if isinstance(value, Mapping) else value


def _mapping(signature: SignatureLike, options: SubmitOptions) -> object:
    given = options.get("column_mapping")
    if given is not None:
        if "inputs" in options or "outputs" in options:
            message = "Give either column_mapping, or inputs and outputs."
            raise SubmissionError(message)
        return given.model_dump() if isinstance(given, ColumnMapping) else dict(given)
    return {side: _side(side, signature, options) for side in ("inputs", "outputs")}


def _side(side: str, signature: SignatureLike, options: SubmitOptions) -> dict[str, str]:
    given = options.get(side)
    if isinstance(given, Mapping):
        return {str(field): str(column) for field, column in given.items()}
    if isinstance(given, Sequence) and not isinstance(given, str):
        return {str(name): str(name) for name in given}
    attribute = f"{side.removesuffix('s')}_fields"
    if given is not None or not inspect.isclass(signature) or not hasattr(signature, attribute):
        message = f"Say which columns feed the signature's {side}: {side}={{field: column}} or a list of names."
        raise SubmissionError(message)
    return {name: name for name in getattr(signature, attribute)}
