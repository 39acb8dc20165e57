"""Programs to serve."""

from dspy_service.domain.serving.interface import ProgramField, ProgramInterface
from dspy_service.domain.serving.plain_types import plain_type
from dspy_service.domain.serving.program import NewVersion
from dspy_service.domain.spec import ModelSettings


def a_field(name: str, side: str = "input", type_name: str = "str", **changes: object) -> ProgramField:
    """Return a field of a plain type."""
    plain = plain_type(type_name)
    fields = {"name": name, "side": side, "type_name": type_name, "description": None}
    schema = {} if plain is None else plain.json_schema
    return ProgramField.model_validate({**fields, "json_schema": schema, **changes})


def an_interface(*fields: ProgramField, instructions: str = "Answer the question.") -> ProgramInterface:
    """Return an interface; without fields that of ``question -> answer``."""
    return ProgramInterface(
        signature_name="Ask",
        instructions=instructions,
        fields=list(fields) or [a_field("question"), a_field("answer", "output")],
    )


def a_new_version(
    program: str = "answers", *, tenant: str = "local", digest: str = "a", **changes: object
) -> NewVersion:
    """Return a version of a plain program; ``digest`` is repeated until it has its length."""
    whole = (digest * 64)[:64]
    fields: dict[str, object] = {
        "tenant": tenant,
        "program": program,
        "artifact_folder": f"programs/{tenant}/{program}/{whole}",
        "digest": whole,
        "module_name": "predict",
        "interface": an_interface(),
        "hosting": "plain",
        "lm": ModelSettings(name="demo/in-context"),
    }
    return NewVersion.model_validate({**fields, **changes})
