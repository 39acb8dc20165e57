"""Documents as they are given, and the chunks that are found."""

import hashlib
from typing import Annotated, Self

from pydantic import AliasChoices, Field, model_validator

from dspy_service.domain.schema import Schema
from dspy_service.domain.search.vectors import FLOAT32_BYTES, EmbedderIdentity, Vector

RESERVED_FIELDS = frozenset({"authors", "year"})
"""Fields of every document that filters may name; metadata must not."""

Number = Annotated[int, Field(ge=-(2**53), le=2**53)] | float
"""Integers as far as every engine and every JSON reader has them; beyond, they are floats."""

MetadataName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}$")]
MetadataValue = Annotated[str, Field(max_length=1000)] | bool | Number
DocumentId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f]+$")]
"""No blank and no control character, so that an answer can cite it."""


class Document(Schema):
    """What a collection holds under one id."""

    id: DocumentId
    title: Annotated[str, Field(max_length=2000)] = ""
    authors: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=10_000)] = Field(
        default_factory=list
    )
    text: Annotated[str, Field(max_length=1_000_000, validation_alias=AliasChoices("text", "abstract"))] = ""
    year: Annotated[int | None, Field(ge=-9999, le=9999)] = None
    metadata: Annotated[dict[MetadataName, MetadataValue], Field(max_length=64)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not f"{self.title}{self.text}".strip():
            message = "has neither a title nor a text"
            raise ValueError(message)
        if "\0" in self.title or "\0" in self.text:
            message = "has a NUL character in its title or text"
            raise ValueError(message)
        if taken := RESERVED_FIELDS & set(self.metadata):
            message = f"has metadata named {min(taken)!r}, which is a field of its own"
            raise ValueError(message)
        return self


class Span(Schema):
    """A piece of a document's text: characters from ``start`` up to, and without, ``end``."""

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]


class IndexedDocument(Schema):
    """A document with the pieces under which it is found; never without one."""

    document: Document
    chunks: Annotated[list[Span], Field(min_length=1)]
    vectors: list[Vector] | None = None
    """One for each chunk, in order; None in a collection without an embedder."""

    @model_validator(mode="after")
    def _has_a_vector_for_each_chunk(self) -> Self:
        if self.vectors is not None and len(self.vectors) != len(self.chunks):
            message = f"has {len(self.vectors)} vectors for {len(self.chunks)} chunks"
            raise ValueError(message)
        return self


class Batch(Schema):
    """Changes that are made together or not at all; the same id is done once."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    embedder: EmbedderIdentity | None = None
    """Who made the vectors; None: there are none."""
    upserts: list[IndexedDocument] = Field(default_factory=list)
    deletes: list[str] = Field(default_factory=list)
    """Ids of documents; one that is not there is passed over."""

    def digest(self) -> str:
        """Return a SHA-256 of the changes; without the vectors, which differ by a bit from one machine to another."""
        return hashlib.sha256(
            self.model_dump_json(exclude={"id": True, "upserts": {"__all__": {"vectors"}}}).encode()
        ).hexdigest()

    @model_validator(mode="after")
    def _names_each_document_once(self) -> Self:
        seen: set[str] = set()
        for document_id in [*(each.document.id for each in self.upserts), *self.deletes]:
            if document_id in seen:
                message = f"names the document {document_id!r} twice"
                raise ValueError(message)
            seen.add(document_id)
        return self

    @model_validator(mode="after")
    def _vectors_are_of_the_embedder(self) -> Self:
        expected = self.embedder.dimension * FLOAT32_BYTES if self.embedder else None
        for each in self.upserts:
            sizes = {len(vector) for vector in each.vectors} if each.vectors is not None else {None}
            if sizes != {expected}:
                message = f"has vectors of {each.document.id!r} that are not of the embedder's dimension"
                raise ValueError(message)
        return self


class BatchResult(Schema):
    """What a batch has changed."""

    added: int
    replaced: int
    deleted: int
