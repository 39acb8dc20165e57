"""One run of a program that was rebuilt from data: it is called in this process, in the run's own task."""

from collections.abc import Mapping
from typing import Any

import dspy
from pydantic import JsonValue

from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from workers.serving.adapters import ADAPTERS
from workers.serving.callbacks import ProgramWatch
from workers.serving.lm import CALLS, RunCalls
from workers.serving.plain_values import as_inputs, as_json


class PlainTurn:
    """See Turn.

    Args:
        version: One with ``plain`` hosting.
        program: The version's.
        lm: The version's model with the run's options.
        watch: Of the run.
        calls: Of the run.
    """

    def __init__(
        self, version: ProgramVersion, program: dspy.Module, lm: dspy.LM, watch: ProgramWatch, calls: RunCalls
    ) -> None:
        self._version = version
        self._program = program
        self._lm = lm
        self._watch = watch
        self._calls = calls

    async def predict(self, run: Run) -> Mapping[str, JsonValue]:
        """Call the program in this task, whose context becomes the run's."""
        CALLS.set(self._calls)
        inputs = {**as_inputs(run.inputs, self._version.interface), **self._more(run)}
        with dspy.context(
            lm=self._lm,
            adapter=ADAPTERS[self._version.adapter],
            callbacks=[self._watch],
            disable_history=True,
            trace=None,  # else DSPy keeps every input and output of the process in one list
            warn_on_type_mismatch=False,  # the inputs were checked, and the warning would log them
        ):
            values = as_json(await self._program.acall(**inputs))
        return {field.name: values[field.name] for field in self._version.interface.outputs if field.name in values}

    def _more(self, run: Run) -> dict[str, Any]:
        """Return the program's signature with a run's own instructions, where the version allows them."""
        if not run.options.instructions or not self._version.chat.allow_system:
            return {}
        (predictor,) = self._program.predictors()
        return {"signature": predictor.signature.append_instructions(run.options.instructions)}
