"""The numpy model keeps what an embedder promises; with weights drawn at random, since laws hold for any."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dspy_service.adapters.minilm import MiniLmEmbedder
from dspy_service.domain.search.vectors import EmbedderIdentity, Vector

WORDS = ["[PAD]", "[UNK]", *"abcdefgh"]
SIZES = {
    "attention.self.query": (384, 384),
    "attention.self.key": (384, 384),
    "attention.self.value": (384, 384),
    "attention.output.dense": (384, 384),
    "intermediate.dense": (1536, 384),
    "output.dense": (384, 1536),
}
NORMS = ["embeddings", *(f"encoder.layer.{n}.{part}" for n in range(6) for part in ("attention.output", "output"))]


def weights() -> Iterator[tuple[str, np.ndarray]]:
    draw = np.random.default_rng(7)
    for name, rows in (("word", len(WORDS)), ("position", 512), ("token_type", 2)):
        yield f"embeddings.{name}_embeddings.weight", draw.standard_normal((rows, 384), np.float32)
    for layer in range(6):
        for name, size in SIZES.items():
            yield f"encoder.layer.{layer}.{name}.weight", draw.standard_normal(size, np.float32) / 20
            yield f"encoder.layer.{layer}.{name}.bias", draw.standard_normal(size[0], np.float32) / 20
    for name in NORMS:
        yield f"{name}.LayerNorm.weight", np.ones(384, np.float32)
        yield f"{name}.LayerNorm.bias", np.zeros(384, np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("minilm")
    save_file(dict(weights()), folder / "model.safetensors")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    tokenizer = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


def numbers(vectors: list[Vector]) -> np.ndarray:
    return np.stack([np.frombuffer(vector, "<f4") for vector in vectors])


async def test_each_text_gets_a_vector_of_length_one(folder: Path) -> None:
    embedder = MiniLmEmbedder(folder)

    embedded = numbers(await embedder.embed(["a b", "c", "d e f g"]))

    assert embedder.identity == EmbedderIdentity(name="all-MiniLM-L6-v2@256", dimension=384)
    assert embedded.shape == (3, 384)
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1, abs=1e-5)


async def test_a_text_gets_its_vector_whatever_stands_beside_it(folder: Path) -> None:
    embedder = MiniLmEmbedder(folder)
    texts = [" ".join("abcdefgh"[: 1 + number % 8]) for number in range(40)]

    together = numbers(await embedder.embed(texts))
    alone = numbers([(await embedder.embed([text]))[0] for text in texts])

    assert together == pytest.approx(alone, abs=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.01


async def test_the_order_of_words_and_only_the_first_tokens_count(folder: Path) -> None:
    embedder = MiniLmEmbedder(folder, max_tokens=3)

    one, other, longer = numbers(await embedder.embed(["a b c", "c b a", "a b c d"]))

    assert np.abs(one - other).max() > 0.01
    assert one == pytest.approx(longer, abs=1e-4)


async def test_no_texts_are_no_vectors(folder: Path) -> None:
    assert await MiniLmEmbedder(folder).embed([]) == []
