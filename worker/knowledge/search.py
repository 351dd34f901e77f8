"""Search an index by meaning (vectors) and by words (BM25), merged by reciprocal rank fusion.

Returns nothing when even the most similar passage is not similar enough. The constants were chosen
on questions whose answers are known (docs/benchmarks/retrieval.md).
"""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, cast

import lancedb
import numpy as np
from lancedb.query import MatchQuery

from finetune_app.candidates.prompt_builder import Passage
from finetune_app.knowledge.schemas import IndexManifest
from worker.channel import UserError
from worker.knowledge import embedding
from worker.knowledge.index import FORMAT, TABLE

VECTOR_CANDIDATES = 100  # passages that are reranked by their sentences
FULL_TEXT_CANDIDATES = 40
NPROBES = 32  # partitions of the vector index that are searched, about a tenth of a large one
FULL_TEXT_WEIGHT = 0.3  # in rank fusion: questions often use other words than the documents
MIN_KEYWORD_SHARE = 0.5  # of the question's keywords, in a passage found by words
RRF_K = 60  # as in Cormack et al. 2009
MIN_SIMILARITY = 0.25  # of the best passage; below it the documents are about something else
COLUMNS = ["id", "document", "name", "title", "page", "at", "text"]
WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
_STOP_WORDS = """
    a about all am an and any are as at be been before but by can could did do does for from get
    had has have how i if in into is it its just may me might more most much must my no not of on
    one or our out shall should so some than that the their them then there these they this those
    to up us was we were what when where which who whom whose why will with would you
    your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
CHANGED = (
    "The documents have changed meanwhile, and what was asked for is no longer here. Ask again."
)
OTHER_EMBEDDER = (
    "These documents were read by another embedding model than the one in use now. On the "
    "documents page, under “Add documents”, press “Read all again”."
)


class Row(TypedDict, total=False):
    """A row of the table. Vector search adds the cosine similarity of the passage, and that of the
    passage and its sentences (see `_similarity`)."""

    id: int
    document: int
    name: str
    title: str
    page: int
    at: int
    own: int
    text: str
    lines: bytes  # int8 (sentences, dimension)
    vector: list[float]
    _distance: float
    passage_similarity: float
    similarity: float


class Index:
    """An opened index. Thread-safe.

    Raises UserError (bad_data) if the folder holds no index, or one of another format.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.manifest: IndexManifest = json.loads((folder / "index.json").read_text())
        except FileNotFoundError as error:
            raise UserError("bad_data", CHANGED) from error
        if self.manifest["format"] != FORMAT:
            raise UserError("bad_data", CHANGED)
        connection = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        self._table = connection.open_table(TABLE)

    def search(self, question: str, count: int) -> list[Passage]:
        """At most `count` passages, best first; none if none is similar enough.

        Raises UserError (bad_data) if the index was made by another embedder.
        """
        if not self.manifest["passages"] or not question.strip():
            return []
        embedder = embedding.shared_embedder()
        if embedder.name != self.manifest["embedder"]:
            raise UserError("bad_data", OTHER_EMBEDDER)
        vector = embedder.embed_questions([question])[0]
        by_words = self.full_text_search(question)
        by_meaning = self.vector_search(vector, by_words)
        if by_meaning[0]["similarity"] < MIN_SIMILARITY:
            return []
        return fuse_by_rank(by_meaning, by_words, question, count)

    def vector_search(self, vector: np.ndarray, also: list[Row] = []) -> list[Row]:  # noqa: B006
        """The most similar passages, including all of `also`, best first."""
        query: Any = self._table.search(vector, vector_column_name="vector")
        query = query.distance_type("cosine")
        query = query.nprobes(NPROBES)  # no effect without a vector index
        rows: list[Row] = (
            query.select([*COLUMNS, "lines", "_distance"]).limit(VECTOR_CANDIDATES).to_list()
        )
        for row in rows:
            row["passage_similarity"] = 1.0 - row["_distance"]
        known = {row["id"] for row in rows}
        for row in also:
            if row["id"] not in known:
                row["passage_similarity"] = float(np.dot(vector, row["vector"]))
                rows.append(row)
        for row in rows:
            row["similarity"] = _similarity(vector, row)
        return sorted(rows, key=lambda row: (-row["similarity"], row["id"]))

    def full_text_search(
        self, question: str, min_keyword_share: float = MIN_KEYWORD_SHARE
    ) -> list[Row]:
        """Passages with enough of the question's keywords, best first (BM25). One common word alone
        says little."""
        words = keywords(question)
        if not words:
            return []
        match = MatchQuery(" ".join(words), "words")  # type: ignore[call-arg]  # it has defaults
        query = self._table.search(match, query_type="fts")
        columns = [*COLUMNS, "vector", "lines", "_score"]
        rows = cast(list[Row], query.select(columns).limit(FULL_TEXT_CANDIDATES).to_list())
        needed = min_keyword_share * len(words)
        return [row for row in rows if len(_keywords_in(row, words)) >= needed]

    def all(self) -> list[Passage]:
        """Every passage in the order of the documents, without the overlaps."""
        table = self._table.to_arrow().select([*COLUMNS, "own"])
        rows = cast(list[Row], table.to_pylist())
        for row in rows:
            row["text"] = row["text"][row["own"] - row["at"] :]
            row["at"] = row["own"]
        return [_passage(row) for row in sorted(rows, key=lambda row: row["id"])]


def _similarity(vector: np.ndarray, row: Row) -> float:
    """Mean cosine similarity of the passage, its best sentence and its best pair of neighbouring
    sentences: a question is often answered by one or two sentences of a passage."""
    passage = row["passage_similarity"]
    sentences = embedding.from_int8(np.frombuffer(row["lines"], dtype=np.int8))
    sentences = sentences.reshape(-1, len(vector))
    if not len(sentences):
        return passage
    single = sentences @ vector
    pairs = sentences[:-1] + sentences[1:] if len(sentences) > 1 else sentences
    paired = (pairs @ vector) / np.maximum(np.linalg.norm(pairs, axis=1), 1e-6)
    return (passage + float(single.max()) + float(paired.max())) / 3


def fuse_by_rank(
    by_meaning: list[Row], by_words: list[Row], question: str, count: int
) -> list[Passage]:
    """Weighted reciprocal rank fusion. Scores are relative to a passage that is first in both."""
    rows: dict[int, Row] = {}
    scores: dict[int, float] = {}
    for weight, found in ((1.0, by_meaning), (FULL_TEXT_WEIGHT, by_words)):
        for rank, row in enumerate(found, start=1):
            rows.setdefault(row["id"], row)
            scores[row["id"]] = scores.get(row["id"], 0.0) + weight / (RRF_K + rank)
    best = sorted(scores, key=lambda key: (-scores[key], key))[:count]
    similar = {row["id"] for row in by_meaning[:count]}
    highest = (1.0 + FULL_TEXT_WEIGHT) / (RRF_K + 1)
    return [
        _passage(rows[key], scores[key] / highest, _reason(question, rows[key], key in similar))
        for key in best
    ]


def _reason(question: str, row: Row, is_similar: bool) -> str:
    """Why the passage was found, in a few words."""
    shared = _keywords_in(row, keywords(question))
    reasons = ["its words: " + ", ".join(shared[:4])] if shared else []
    if is_similar or not reasons:
        reasons.append("close in meaning")
    return "; ".join(reasons)


def keywords(question: str) -> list[str]:
    """The distinct words of a question that are no stop words."""
    return [*dict.fromkeys(w for w in WORD.findall(question.lower()) if w not in STOP_WORDS)]


def _keywords_in(row: Row, words: list[str]) -> list[str]:
    """Those of `words` that the passage or its title contains, in any inflection."""
    stems = {_stem(word) for word in WORD.findall(f"{row['title']} {row['text']}".lower())}
    return [word for word in words if _stem(word) in stems]


def _stem(word: str) -> str:
    """A rough stem, used only to compare two words."""
    for ending in ("ies", "ing", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _passage(row: Row, score: float = 0.0, why: str = "") -> Passage:
    return Passage(
        document=row["document"],
        name=row["name"],
        title=row["title"],
        page=row["page"],
        at=row["at"],
        text=row["text"],
        score=round(score, 4),
        why=why,
    )
