"""The other side of the comparison: the same job in plain DSPy, in one process, without any of the service's code.

Reads the body of ``POST /run`` as JSON from standard input and prints what took how long::

    python -m benchmarks.support.plain_dspy --threads 8 < job.json

DSPy's memory cache is on and empty, as in a user's fresh process; its disk cache is off. What both sides import, and
the connection to the model, are warm before the clock starts, as they are in the service's standby runner.
"""

import argparse
import contextlib
import io
import json
import logging
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import cloudpickle
import dspy
import optuna

from benchmarks.support.workload import WARM_CALLS

_OPTIMIZERS = {"miprov2": "MIPROv2", "labeled_few_shot": "LabeledFewShot"}


def main() -> None:
    """Run the job and print ``{"phase_seconds", "total_seconds", "program"}``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    threads = parser.parse_args().threads
    body = json.load(sys.stdin)
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        measured = run(body, threads)
    json.dump(measured, sys.stdout)


def run(body: dict[str, Any], threads: int) -> dict[str, Any]:
    """Measure baseline, compile, optimized and pickling, as the service does them."""
    phases: dict[str, float] = {}
    model = body["model_config"]
    lm = dspy.LM(model["name"], api_base=model["base_url"], api_key="none", num_retries=0)
    for _ in range(WARM_CALLS):
        lm("Are you there?")
    started = time.perf_counter()
    program = dspy.Predict(_defined(body["signature_code"], dspy.Signature))
    metric = _defined(body["metric_code"], None)
    train, val, test = _split(body)
    evaluate = dspy.Evaluate(devset=test, metric=metric, num_threads=threads, display_progress=False)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(), num_threads=threads, disable_history=True):
        with _timed(phases, "baseline"):
            evaluate(program)
        with _timed(phases, "compile"):
            compiled = _compile(body, program, metric, train, val, threads)
        with _timed(phases, "optimized"):
            evaluate(compiled)
    cloudpickle.dumps(compiled)
    prompts = {
        name: {"instructions": predictor.signature.instructions, "demos": len(predictor.demos)}
        for name, predictor in compiled.named_predictors()
    }
    return {"phase_seconds": phases, "total_seconds": time.perf_counter() - started, "program": prompts}


def _compile(
    body: dict[str, Any],
    program: dspy.Module,
    metric: Any,  # noqa: ANN401  # the user's function
    train: list[dspy.Example],
    val: list[dspy.Example],
    threads: int,
) -> dspy.Module:
    kwargs = dict(body["optimizer_kwargs"])
    factory = getattr(dspy, _OPTIMIZERS[body["optimizer_name"]])
    if factory is dspy.LabeledFewShot:
        return factory(**kwargs).compile(program, trainset=train)
    return factory(metric=metric, num_threads=threads, **kwargs).compile(program, trainset=train, valset=val)


def _split(body: dict[str, Any]) -> tuple[list[dspy.Example], list[dspy.Example], list[dspy.Example]]:
    inputs = list(body["column_mapping"]["inputs"])
    rows = [dspy.Example(**row).with_inputs(*inputs) for row in body["dataset"]]
    random.Random(body["seed"]).shuffle(rows)  # noqa: S311  # the order that the service documents
    shares = body["split_fractions"]
    first = int(round(len(rows) * shares["train"], 9))
    second = first + int(round(len(rows) * shares["val"], 9))
    return rows[:first], rows[first:second], rows[second:]


def _defined(source: str, kind: Any) -> Any:  # noqa: ANN401  # a class or function of the job
    """Run source and return the class of that kind, or the function called ``metric``."""
    import typing  # noqa: PLC0415  # its public names are bound for submitted source, and for nothing else here

    space: dict[str, Any] = {name: getattr(typing, name) for name in typing.__all__}
    space |= {"dspy": dspy, "__name__": "submitted"}
    exec(source, space)  # noqa: S102  # our own workload
    if kind is None:
        return space["metric"]
    return next(v for v in space.values() if isinstance(v, type) and issubclass(v, kind) and v is not kind)


@contextlib.contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    phases[name] = time.perf_counter() - started


if __name__ == "__main__":
    main()
