"""The base of everything that crosses a wire."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Settings shared by everything that crosses a wire: frozen, strict, no unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )
