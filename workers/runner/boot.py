"""Prepares the process before any submitted code: imports, patches, versions and a warm-up."""

import gc
import importlib.metadata
import logging
import platform
import warnings
from typing import Any

import dspy
import dspy.propose
import dspy.teleprompt
import gepa  # noqa: F401  # imported ahead: an import that a cancel interrupts stays half done
import numpy as np  # noqa: F401  # the same
import optuna
from dspy.lm15 import response_from_openai_chat
from dspy.utils import parallelizer

DISTRIBUTIONS = ("dspy", "gepa", "optuna", "numpy", "cloudpickle", "pydantic")

WARM_ROWS = 4
_WARM_ANSWER = "[[ ## reasoning ## ]]\nr\n\n[[ ## answer ## ]]\na\n\n[[ ## completed ## ]]"


def prepare() -> dict[str, str]:
    """Set DSPy up for one job in this process, and return the versions that its result will name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)  # the broker caches
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    turn_off_stragglers()
    end_pools_with_their_evaluation()
    return versions()


def versions() -> dict[str, str]:
    """Return the versions of Python and of everything that shapes a compiled program."""
    found = {name: importlib.metadata.version(name) for name in DISTRIBUTIONS}
    return {"python": platform.python_version(), **found}


def turn_off_stragglers() -> None:
    """Never send a slow call twice: ``Evaluate`` resubmits after 120 s and offers no option against it."""
    original = parallelizer.ParallelExecutor.__init__

    def patient_init(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # DSPy's own signature
        kwargs.setdefault("timeout", 0)
        original(self, *args, **kwargs)

    parallelizer.ParallelExecutor.__init__ = patient_init


def end_pools_with_their_evaluation(executor: Any = parallelizer.ParallelExecutor) -> None:  # noqa: ANN401  # untyped
    """Begin no further row of an evaluation that a JobEnd has left: its pool would still work through all of them."""
    original = executor.execute

    def execute(self: Any, function: Any, data: Any) -> Any:  # noqa: ANN401  # DSPy's own signature
        try:
            return original(self, function, data)
        except BaseException:
            self.cancel_jobs.set()
            raise

    executor.execute = execute


class _Echo:
    """An engine that answers every request with one fixed text."""

    def complete(self, request: Any) -> Any:  # noqa: ANN401, ARG002  # lm15's types are untyped here
        message = {"role": "assistant", "content": _WARM_ANSWER}
        body = {
            "id": "warm",
            "object": "chat.completion",
            "created": 1,
            "model": "warm",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        return response_from_openai_chat(body, model="openai/warm")

    def close(self) -> None:
        pass


def warm_up() -> None:
    """Run a stub evaluation, so that the job's first call does not pay for first uses.

    Call it after confinement: Landlock covers only the calling thread and those it starts later.
    """
    lm = dspy.LM("openai/warm", engine=_Echo(), cache=False, num_retries=0, temperature=1.0, max_tokens=10)
    rows = [dspy.Example(question=f"q{i}", answer="a").with_inputs("question") for i in range(WARM_ROWS)]
    program = dspy.ChainOfThought("question -> answer")
    logger = logging.getLogger("dspy")
    level = logger.level
    logger.setLevel(logging.ERROR)  # nobody reads what a warm-up scored
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(), disable_history=True):
        evaluate = dspy.Evaluate(devset=rows, metric=_warm_metric, num_threads=2, display_progress=False)
        evaluate(program)
        evaluate(dspy.LabeledFewShot(k=2).compile(program, trainset=rows))
    logger.setLevel(level)
    program.deepcopy().dump_state()
    gc.collect()
    gc.freeze()  # what lives now lives to the end; collections need not look at it again


def _warm_metric(gold: Any, pred: Any, trace: Any = None) -> float:  # noqa: ANN401, ARG001  # a DSPy metric
    return float(gold.answer == pred.answer)
