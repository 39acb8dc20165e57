"""Embeddings as bytes: what every engine can store, and no library has to be loaded to pass on."""

from typing import Annotated

from pydantic import Field

from dspy_service.domain.schema import Schema

FLOAT32_BYTES = 4

Vector = bytes
"""Little-endian 32-bit floats, scaled to length 1, so that a product of two is their cosine."""


class EmbedderIdentity(Schema):
    """Which embedder made a vector; vectors of two embedders have nothing to say to each other."""

    name: Annotated[str, Field(min_length=1, max_length=200, examples=["all-MiniLM-L6-v2@128"])]
    """Model and whatever else changes its vectors."""
    dimension: Annotated[int, Field(ge=1, le=65_536)]


class Embedding(Schema):
    """One vector and who made it."""

    embedder: EmbedderIdentity
    vector: Vector
