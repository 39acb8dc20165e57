"""A collection: documents of one tenant that are searched together."""

from typing import Annotated, Literal

from pydantic import Field

from dspy_service.domain.schema import Schema
from dspy_service.domain.search.vectors import EmbedderIdentity
from dspy_service.domain.times import UtcTime

CollectionName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        examples=["papers"],
        description="Lower case letters, digits, dot, dash and underscore; at most 63 characters.",
    ),
]

FieldKind = Literal["text", "number"]


class NewCollection(Schema):
    """A collection before it is recorded."""

    tenant: str
    name: CollectionName
    embedder: EmbedderIdentity | None = None
    """None: found by words only."""


class Collection(NewCollection):
    """A collection as it stands."""

    collection_id: str
    """Never given again, so that a name can be used again."""
    created_at: UtcTime


class CollectionStats(Schema):
    """How much a collection holds."""

    documents: int
    chunks: int
    stored_bytes: int
    """On disk, or about so in memory."""
    revision: int
    """Rises with every batch that changed something."""
    fields: dict[str, list[FieldKind]]
    """What filters may name, and the kinds of its values."""
