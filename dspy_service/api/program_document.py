"""The OpenAPI document of one program: its own fields, typed by its signature."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from dspy_service.api.envelope import ErrorEnvelope
from dspy_service.domain.serving.interface import ProgramField, ProgramInterface
from dspy_service.domain.serving.own_schemas import DEFINITIONS, REFERENCE
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import RunOptions
from dspy_service.domain.serving.run_views import PredictionView

_REFERENCE = "#/components/schemas/{model}"
_OPENAPI = "3.1.0"
_PARTS = (PredictionView, ErrorEnvelope)

Document = dict[str, Any]


def program_document(reference: str, version: ProgramVersion) -> Document:
    """Return the document of a version.

    Args:
        reference: As callers write it: a name, perhaps with ``@`` and an alias or a version.
        version: What it means now.
    """
    components = _components()
    interface = _with_definitions_in(components, version.interface)
    components["Inputs"] = _object(interface.inputs, closed=True)
    components["Prediction"] = _object(interface.outputs, closed=False)
    prediction = components["PredictionView"]
    prediction["properties"] = {**prediction["properties"], "prediction": _ref("Prediction")}
    return {
        "openapi": _OPENAPI,
        "info": {
            "title": version.program,
            "version": str(version.version),
            "description": interface.instructions,
        },
        "paths": {
            f"/v1/programs/{reference}/predict": {"post": _operation("predict", _json(_ref("PredictionView")))},
            f"/v1/programs/{reference}/predict/stream": {"post": _operation("predict_stream", _TEXT_STREAM)},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"ApiKey": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"ApiKey": []}, {}],
    }


_TEXT_STREAM = {"text/event-stream": {"schema": {"type": "string"}}}


def _components() -> Document:
    models = [(model, "serialization") for model in _PARTS] + [(RunOptions, "validation")]
    _, schemas = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type]  # its mode is a Literal
    found: Document = schemas["$defs"]
    return found


def _with_definitions_in(components: Document, interface: ProgramInterface) -> ProgramInterface:
    """Move what the fields' schemas define to ``components``, as ``<field>.<name>``; references count from the top."""
    fields = []
    for index, field in enumerate(interface.fields):
        schema = dict(field.json_schema)
        definitions = schema.pop(DEFINITIONS, {})
        if isinstance(definitions, dict) and definitions:
            owner = field.name if field.name.isascii() else f"field-{index}"  # a component's name is ASCII
            places = {f"{REFERENCE}{name}": _REFERENCE.format(model=f"{owner}.{name}") for name in definitions}
            for name, definition in definitions.items():
                components[f"{owner}.{name}"] = _led(definition, places)
            schema = _led(schema, places)
        fields.append(field.model_copy(update={"json_schema": schema}))
    return interface.model_copy(update={"fields": fields})


def _led(node: Any, places: Mapping[str, str]) -> Any:  # noqa: ANN401  # a part of a schema
    """Return a part of a schema that refers to these places; its depth was bounded when it was stored."""
    if isinstance(node, dict):
        return {key: _led(each, places) for key, each in node.items()}
    if isinstance(node, list):
        return [_led(each, places) for each in node]
    return places.get(node, node) if isinstance(node, str) else node


def _operation(name: str, content: Document) -> Document:
    wrapped = {
        "type": "object",
        "properties": {"inputs": _ref("Inputs"), "options": _ref("RunOptions")},
        "required": ["inputs"],
    }
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": _json({"anyOf": [_ref("Inputs"), wrapped]})},
        "responses": {
            "200": {"description": "The prediction.", "content": content},
            "default": {"description": "What went wrong.", "content": _json(_ref("ErrorEnvelope"))},
        },
    }


def _object(fields: Iterable[ProgramField], *, closed: bool) -> Document:
    known = list(fields)
    return {
        "type": "object",
        "properties": {field.name: _described(field) for field in known},
        "required": [field.name for field in known if field.is_required],
        **({"additionalProperties": False} if closed else {}),
    }


def _described(field: ProgramField) -> dict[str, JsonValue]:
    described: dict[str, JsonValue] = dict(field.json_schema)
    texts = [text for text in (field.description, field.constraints) if text]
    if texts:
        described["description"] = "\n".join(texts)
    if not field.is_required and not field.has_default_of_code:
        described["default"] = field.default
    return described


def _json(schema: Document) -> Document:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Document:
    return {"$ref": _REFERENCE.format(model=name)}
