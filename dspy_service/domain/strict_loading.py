"""Loads a checked state into a program that was built from its own source, without knowing DSPy.

DSPy's loader writes whatever it finds; here it is only ever given what ``check_program_state`` let through.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from dspy_service.domain.program_state import WHOLE, Fields, ProgramStateError, check_program_state


class StatefulProgram(Protocol):
    """What is needed of a ``dspy.Module``."""

    def named_parameters(self) -> Iterable[tuple[str, Any]]:
        """Return the predictors by name."""
        ...

    def load_state(self, state: Any) -> Any:  # noqa: ANN401  # DSPy leaves both open
        """Fill in a state."""
        ...


def load_state_strictly(program: StatefulProgram, data: bytes, *, recorded: Fields | None = None) -> None:
    """Fill the bytes of a ``program.json`` into ``program``.

    Args:
        program: Built anew, with the signature that the state was made for.
        data: The file; verified, where it comes from a store.
        recorded: What ``metadata.json`` says of the program; DSPy's states name no fields, so only this can tell a
            state of ``a, b -> c`` from one of ``x, y -> z``.

    Raises:
        ProgramStateError: the state may not be loaded, or belongs to another program; nothing was changed.
    """
    fields = fields_of(program)
    if recorded is not None and {name: list(names) for name, names in recorded.items()} != fields:
        raise ProgramStateError("The program has other predictors or fields than the one whose state this is.")
    state = dict(check_program_state(data, fields))
    del state["metadata"]
    program.load_state(state)


def fields_of(program: StatefulProgram) -> dict[str, list[str]]:
    """Return the fields of every predictor in the program's state, in the order in which the state lists them."""
    parts = dict(program.named_parameters())
    predictors = {WHOLE: parts[WHOLE]} if WHOLE in parts else parts
    return {name: list(part.signature.fields) for name, part in predictors.items() if hasattr(part, "signature")}
