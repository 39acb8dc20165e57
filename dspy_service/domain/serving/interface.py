"""What goes into a program and what comes out, as JSON Schema; written without running submitted code."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.schema import Schema


class ProgramField(Schema):
    """One field of a program's signature."""

    name: str
    side: Literal["input", "output"]
    type_name: str
    """As Python writes it: ``str``, ``list[int]``, ``Literal['a', 'b']``."""
    json_schema: dict[str, JsonValue]
    """Of one value; ``{}`` when the type is the submitter's own and says nothing of itself."""
    description: Annotated[str | None, Field(description="The field's ``desc``; null when it is DSPy's placeholder.")]
    is_required: bool = True
    """Whether an input has no default."""
    default: JsonValue = None
    """What an input without a value gets, when it is not required."""
    has_default_of_code: Annotated[
        bool, Field(description="Whether the default is more than JSON can say, so that only the program knows it.")
    ] = False
    constraints: Annotated[str | None, Field(description="What the prompt says the value must hold to.")] = None

    @property
    def is_text(self) -> bool:
        """Whether the field is plain text, which can be streamed piece by piece."""
        return self.type_name == "str"

    @property
    def is_history(self) -> bool:
        """Whether the field takes a ``dspy.History``."""
        return self.type_name in {"History", "dspy.History"}


class ProgramInterface(Schema):
    """A program's signature as data."""

    signature_name: str
    instructions: str
    fields: list[ProgramField]
    """Inputs first, in the signature's order."""

    @property
    def inputs(self) -> list[ProgramField]:
        """The input fields, in order."""
        return [field for field in self.fields if field.side == "input"]

    @property
    def outputs(self) -> list[ProgramField]:
        """The output fields, in order; ``reasoning`` of a chain of thought is one."""
        return [field for field in self.fields if field.side == "output"]

    @property
    def is_single_text(self) -> bool:
        """Whether the only output is a text, so that an answer needs no markers."""
        return [field.is_text for field in self.outputs] == [True]
