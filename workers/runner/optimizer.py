"""Constructs the optimizer and its compile call; the traps of each optimizer are handled here and nowhere else."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dspy

from dspy_service.domain.job import Failure
from dspy_service.domain.splits import Split
from workers.runner.failures import JobEnd, JobFailed, failure_of
from workers.runner.metric import Metric
from workers.runner.models import BrokerLM
from workers.runner.observing import GepaWatcher
from workers.runner.order import Order
from workers.runner.plans import MIPRO_AUTO, MIPRO_MINIBATCH_ABOVE
from workers.runner.program import resolve
from workers.runner.reporting import Reporter

MIPRO_MINIBATCH_SIZE = 35  # DSPy's default

Examples = Split[dspy.Example]


@dataclass(frozen=True)
class Optimization:
    """An optimizer that is ready to compile."""

    optimizer: Any
    compile_kwargs: Mapping[str, Any]

    def compile(self, student: dspy.Module) -> dspy.Module:
        """Compile; what the optimizer raises passes through."""
        return self.optimizer.compile(student, **self.compile_kwargs)


def build_optimization(
    order: Order,
    split: Examples,
    *,
    metric: Metric,
    models: Mapping[str, BrokerLM],
    gepa_watcher: GepaWatcher,
    reporter: Reporter,
) -> Optimization:
    """Construct the optimizer. Call it inside ``dspy.context``: MIPROv2 keeps the models that it finds there.

    Raises:
        JobFailed: the optimizer refuses its arguments; kind ``optimizer_error``.
    """
    factory = resolve(order.optimizer.factory)
    kwargs = _constructor_kwargs(order, factory, metric=metric, models=models)
    compile_kwargs: dict[str, Any] = {**order.spec.compile_kwargs, "trainset": split.train}
    if order.optimizer.takes_valset and split.val:
        compile_kwargs["valset"] = split.val
    if order.optimizer.progress == "gepa":
        extra = dict(kwargs.get("gepa_kwargs") or {})
        callbacks = [*(extra.pop("callbacks", None) or []), gepa_watcher]
        kwargs["gepa_kwargs"] = {"use_cloudpickle": True, **extra, "callbacks": callbacks}
    if order.optimizer.progress == "mipro":
        _settle_mipro(kwargs, compile_kwargs, split, reporter)
    try:
        optimizer = factory(**kwargs)
    except JobEnd:
        raise
    except Exception as error:
        raise JobFailed(failure_of(error, kind="optimizer_error")) from error
    return Optimization(optimizer, compile_kwargs)


def gepa_budget(optimizer: Any, program: dspy.Module, split: Examples) -> int:  # noqa: ANN401  # DSPy is untyped
    """Return how many metric calls GEPA will make, by its own rule; 0 for other optimizers."""
    if not isinstance(optimizer, dspy.GEPA):
        return 0
    train, val = len(split.train), len(split.val)
    if optimizer.auto is not None:
        from dspy.teleprompt.gepa.gepa import AUTO_RUN_SETTINGS  # noqa: PLC0415  # only GEPA jobs need it

        candidates = AUTO_RUN_SETTINGS[optimizer.auto]["n"]
        predictors = max(1, len(program.predictors()))
        return int(optimizer.auto_budget(num_preds=predictors, num_candidates=candidates, valset_size=val or train))
    if optimizer.max_full_evals is not None:
        return int(optimizer.max_full_evals * (train + val))
    return int(optimizer.max_metric_calls)


def _constructor_kwargs(
    order: Order,
    factory: Any,  # noqa: ANN401  # a class of DSPy
    *,
    metric: Metric,
    models: Mapping[str, BrokerLM],
) -> dict[str, Any]:
    takes = inspect.signature(factory).parameters
    kwargs: dict[str, Any] = dict(order.spec.optimizer_kwargs)
    if order.optimizer.metric_style != "none" and "metric" in takes:
        kwargs["metric"] = metric
    for role, name in order.optimizer.role_kwargs.items():
        if role in models:
            kwargs[name] = models[role]
    if "num_threads" in takes and kwargs.get("num_threads") is None:
        kwargs["num_threads"] = order.num_threads
    return kwargs


def _settle_mipro(
    kwargs: Mapping[str, Any],
    compile_kwargs: dict[str, Any],
    split: Examples,
    reporter: Reporter,
) -> None:
    """Choose full evaluations where the valset cannot fill a minibatch; refuse a minibatch that was asked for.

    Raises:
        JobFailed: the minibatch is larger than the valset, or there are too few rows to split.
    """
    if not split.val and len(split.train) < 2:  # noqa: PLR2004  # DSPy cuts the valset off the trainset
        message = "MIPROv2 without a valset needs at least 2 training rows; send more rows or a larger val fraction."
        raise JobFailed(Failure(kind="optimizer_error", message=message))
    rows = len(split.val) or min(1000, max(1, int(len(split.train) * 0.8)))
    automatic = kwargs.get("auto", "light") in MIPRO_AUTO
    if automatic:
        rows = min(rows, MIPRO_AUTO[kwargs.get("auto", "light")][1])
    uses_minibatch = rows > MIPRO_MINIBATCH_ABOVE if automatic else compile_kwargs.get("minibatch", True)
    size = compile_kwargs.get("minibatch_size", MIPRO_MINIBATCH_SIZE)
    if not uses_minibatch or size <= rows:
        return
    if not automatic and "minibatch_size" not in compile_kwargs and "minibatch" not in compile_kwargs:
        compile_kwargs["minibatch"] = False
        reporter.warning(
            "minibatch_off", f"The valset has {rows} rows: MIPROv2 evaluates every candidate on all of them."
        )
        return
    message = f"compile_kwargs.minibatch_size is {size}, but the valset has {rows} rows; set at most {rows}."
    raise JobFailed(Failure(kind="optimizer_error", message=message))
