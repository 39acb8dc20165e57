"""One thing that is wrong with a payload."""

from pydantic import BaseModel, ConfigDict


class FieldProblem(BaseModel):
    """One thing that is wrong with a payload: where, and what to do about it."""

    model_config = ConfigDict(frozen=True)

    field: str
    """Dotted path, for example ``dataset.3.question``; empty when it is the whole body."""
    message: str
