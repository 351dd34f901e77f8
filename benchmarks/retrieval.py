"""Does search find the passage that answers? And how long does it take among very many?

    python -m benchmarks.retrieval            the handbook: hit rates by method, the floor
    python -m benchmarks.retrieval --many     100,000 passages: how long a search takes

The handbook (benchmarks/handbook) asks in other words than it answers. A hit is a passage of the
right page that holds the answer, among the first five.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from worker.channel import Job
from worker.knowledge import embedding, search
from worker.knowledge.chunking import Chunk
from worker.knowledge.document_cache import EmbeddedChunks, load_chunks, load_text
from worker.knowledge.index import IndexedDocument, write
from worker.knowledge.run import run
from worker.knowledge.search import Index, fuse_by_rank

HANDBOOK = Path(__file__).parent / "handbook"
MANY = 100_000
SENTENCES = 8  # of a made-up passage
A_PART = 2_000  # made-up passages a document
# Questions about something else altogether.
ELSEWHERE = (
    "What is the capital of Australia?",
    "How do I cancel my gym membership?",
    "Who won the world cup in 1998?",
    "Write a poem about autumn.",
    "What is the boiling point of ethanol?",
    "Can you help me fix my bicycle chain?",
    "How many moons does Jupiter have?",
    "What is our parental leave policy?",
    "How do I reset my e-mail password?",
    "Tell me a joke.",
    "When does the train to Leeds leave?",
    "What should I wear to a wedding?",
    "Explain photosynthesis.",
    "Is it going to rain tomorrow?",
    "hello",
    "How do I file my tax return?",
    "Translate good morning into French.",
    "Who wrote Pride and Prejudice?",
    "What is a good recipe for lentil soup?",
    "How do I learn the guitar?",
)


class Quiet:
    def emit(self, event: str, **fields: Any) -> None:
        return None

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        return None


def rows(name: str) -> list[dict[str, str]]:
    text = (HANDBOOK / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def read_handbook(root: Path) -> tuple[Index, list[dict[str, Any]]]:
    documents = []
    for number, page in enumerate(sorted((HANDBOOK / "pages").glob("*.md")), start=1):
        folder = root / "documents" / str(number)
        folder.mkdir(parents=True)
        shutil.copy(page, folder / "upload")
        documents.append({"id": number, "name": page.name, "folder": str(folder)})
    run(Job("index", root / "index-1", {"documents": documents, "questions": []}), Quiet())
    return Index(root / "index-1"), documents


# ---- The handbook ----


def is_hit(found: list[Any], asked: dict[str, str], first: int) -> bool:
    answer = " ".join(asked["answer"].lower().split())
    return any(
        asked.get("page", of(one, "name")) == of(one, "name")
        and answer in " ".join(of(one, "text").lower().split())
        for one in found[:first]
    )


def of(found: Any, key: str) -> Any:
    return found[key] if isinstance(found, dict) else getattr(found, key)


def by_method(index: Index, questions: list[dict[str, str]]) -> dict[str, list[list[Any]]]:
    """The passages that each search method finds for each question, best first."""
    found: dict[str, list[list[Any]]] = {}
    vectors = embedding.shared_embedder().embed_questions([one["question"] for one in questions])
    for asked, vector in zip(questions, vectors, strict=True):
        by_words = index.full_text_search(asked["question"])
        by_meaning = index.vector_search(vector, by_words)
        for name, result in {
            "vector of the passage": sorted(by_meaning, key=lambda row: -row["passage_similarity"]),
            "full text (BM25)": index.full_text_search(asked["question"], min_keyword_share=0),
            "full text, half of the words": by_words,
            "meaning: passage, sentence, pair": by_meaning,
            "hybrid (what search does)": fuse_by_rank(by_meaning, by_words, asked["question"], 5),
        }.items():
            found.setdefault(name, []).append(result)
    return found


def handbook(index: Index) -> None:
    print(
        "| method | "
        + " | ".join(
            f"{name}, first {first}" for name in ("questions", "facts") for first in (3, 5)
        )
        + " |"
    )
    print("|---|---|---|---|---|")
    cells: dict[str, list[str]] = {}
    for name in ("questions", "facts"):
        asked = rows(name)
        for method, results in by_method(index, asked).items():
            for first in (3, 5):
                hits = sum(is_hit(r, q, first) for r, q in zip(results, asked, strict=True))
                cells.setdefault(method, []).append(f"{100 * hits / len(asked):.0f}%")
    for method, values in cells.items():
        print(f"| {method} | {' | '.join(values)} |")
    floor(index)


def floor(index: Index) -> None:
    """Below which nearness nothing fits: what each choice would refuse."""
    kinds = {
        "answered by the handbook": [one["question"] for one in rows("questions") + rows("facts")],
        "about the product, not answered": [one["question"] for one in rows("unanswerable")],
        "about something else": list(ELSEWHERE),
    }
    near = {
        kind: [
            index.vector_search(v, index.full_text_search(q))[0]["similarity"]
            for q, v in zip(asked, embedding.shared_embedder().embed_questions(asked), strict=True)
        ]
        for kind, asked in kinds.items()
    }
    floors = (0.15, 0.2, 0.22, 0.25, 0.28, 0.3, 0.35, 0.4)
    print("\n| refused below | " + " | ".join(f"{at:.2f}" for at in floors) + " |")
    print("|---|" + "---|" * len(floors))
    for kind, values in near.items():
        refused = [sum(value < at for value in values) for at in floors]
        print(f"| {kind} ({len(values)}) | " + " | ".join(map(str, refused)) + " |")
    print(f"\nThe floor in use: {search.MIN_SIMILARITY}")


# ---- Very many ----


def made_up(count: int, embedder: embedding.Embedder) -> Any:
    """Documents of shuffled handbook sentences. The vector of a passage lies among those of its
    sentences, with noise, so that there are neighbourhoods as in real text."""
    text = " ".join(page.read_text() for page in sorted((HANDBOOK / "pages").glob("*.md")))
    sentences = [one for one in re.split(r"(?<=[.!?])\s+", text) if 20 < len(one) < 240]
    known = embedder.embed_passages(sentences)
    bytes_ = embedding.to_int8(known)
    draw = np.random.default_rng(5)
    for first in range(0, count, A_PART):
        here = min(A_PART, count - first)
        chosen = draw.integers(0, len(sentences), size=(here, SENTENCES))
        body, chunks = "", []
        for numbers in chosen:
            at = len(body)
            body += " ".join(sentences[number] for number in numbers) + "\n"
            chunks.append(Chunk(at, len(body) - 1, at, 0, "Made up"))
        vectors = known[chosen].mean(axis=1)
        vectors += draw.normal(scale=0.01, size=vectors.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        lines = bytes_[chosen.reshape(-1)]
        embedded = EmbeddedChunks(chunks, [SENTENCES] * here, vectors.astype(np.float32), lines)
        yield IndexedDocument(1_000 + first // A_PART, "made-up.md", body, embedded)


def real(documents: list[dict[str, Any]], embedder: embedding.Embedder) -> Any:
    for one in documents:
        folder = Path(one["folder"])
        text, embedded = load_text(folder), load_chunks(folder, embedder.name)
        assert text is not None
        assert embedded is not None
        yield IndexedDocument(one["id"], one["name"], text.text, embedded)


def many(root: Path, documents: list[dict[str, Any]], count: int) -> None:
    embedder = embedding.shared_embedder()

    def parts() -> Any:
        yield from real(documents, embedder)
        yield from made_up(count, embedder)

    began = time.perf_counter()
    manifest = write(
        root / "index-2", parts(), embedder=embedder.name, dimension=embedder.dimension
    )
    built = time.perf_counter() - began
    bytes_ = sum(path.stat().st_size for path in (root / "index-2").rglob("*") if path.is_file())
    print(f"\n{manifest['passages']:,} passages: written in {built:.0f} s, {bytes_ / 1e6:,.0f} MB")
    index, questions = Index(root / "index-2"), rows("questions")
    index.search("warm up", 5)
    seconds, embedding_seconds, hits, kept = [], [], 0, []
    for asked in questions:
        began = time.perf_counter()
        vector = embedder.embed_questions([asked["question"]])[0]
        embedding_seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = index.search(asked["question"], 5)
        seconds.append(time.perf_counter() - began)
        hits += is_hit(found, {"answer": asked["answer"]}, 5)  # on whichever page
        kept.append(recall(index, vector))
    for name, values in (
        ("a search, all in all", seconds),
        ("the question's vector alone", embedding_seconds),
    ):
        p50, p95 = statistics.median(values), sorted(values)[int(0.95 * len(values))]
        print(f"{name}: p50 {1000 * p50:.0f} ms, p95 {1000 * p95:.0f} ms")
    print(f"recall of the approximate search, first 10: {100 * statistics.mean(kept):.1f}%")
    print(f"an answer among the first five: {100 * hits / len(questions):.0f}%")


def recall(index: Index, vector: np.ndarray, first: int = 10) -> float:
    """Of the truly nearest, the share that the approximate search brings."""
    table: Any = index._table

    def nearest(exact: bool) -> set[int]:
        query = table.search(vector, vector_column_name="vector").distance_type("cosine")
        query = query.bypass_vector_index() if exact else query.nprobes(search.NPROBES)
        rows = query.select(["id", "_distance"]).limit(search.VECTOR_CANDIDATES).to_list()
        return {row["id"] for row in rows[:first]} if exact else {row["id"] for row in rows}

    truth = nearest(True)
    return len(truth & nearest(False)) / len(truth)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--many", action="store_true")
    arguments.add_argument("--count", type=int, default=MANY)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="retrieval-") as scratch:
        index, documents = read_handbook(Path(scratch))
        if chosen.many:
            many(Path(scratch), documents, chosen.count)
        else:
            handbook(index)


if __name__ == "__main__":
    main()
