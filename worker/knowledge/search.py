"""Search an index: by meaning and by words, put together by rank.

A passage found both ways comes before one found only one way (reciprocal rank fusion). When even
the nearest is far, nothing is returned: the documents do not speak of it. The numbers below were
chosen on questions whose answers are known (docs/benchmarks/retrieval.md).
"""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
from lancedb.query import MatchQuery

from finetune_app.candidates.prompt_builder import Passage
from worker.channel import UserError
from worker.knowledge import embedding
from worker.knowledge.index import FORMAT, TABLE

Row = dict[str, Any]
POOL = 100  # passages that are looked at closely
POOL_BY_WORDS = 40
CELLS = 32  # of an index of many vectors (about a tenth), in which the nearest are looked for
BY_WORDS = 0.3  # what a rank by words counts: people ask in other words than those who wrote
HALF = 0.5  # of the question's telling words
SMOOTHING = 60  # of reciprocal rank fusion, as in Cormack et al. 2009
FLOOR = 0.25  # below this nearness of the best passage the documents speak of something else
COLUMNS = ["id", "document", "name", "title", "page", "at", "text"]
WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
# English words that say nothing about what is asked.
_EMPTY = """
    a about all am an and any are as at be been before but by can could did do does for from get
    had has have how i if in into is it its just may me might more most much must my no not of on
    one or our out shall should so some than that the their them then there these they this those
    to up us was we were what when where which who whom whose why will with would you
    your
"""
EMPTY = frozenset(_EMPTY.split())


class Index:
    """An index as it was written. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        try:
            self.about: dict[str, Any] = json.loads((folder / "index.json").read_text())
        except FileNotFoundError as error:
            raise UserError("bad_data", GONE) from error
        if self.about["format"] != FORMAT:
            raise UserError("bad_data", GONE)
        connection = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        self._table = connection.open_table(TABLE)

    def search(self, question: str, count: int) -> list[Passage]:
        """At most `count` passages, best first; none when nothing fits."""
        if not self.about["passages"] or not question.strip():
            return []
        embedder = embedding.shared_embedder()
        if embedder.name != self.about["embedder"]:
            raise UserError("bad_data", OTHER_EMBEDDER)
        vector = embedder.questions([question])[0]
        worded = self.worded(question)
        near = self.near(vector, worded)
        if near[0]["near"] < FLOOR:
            return []
        return fuse_by_rank(near, worded, question, count)

    def near(self, vector: np.ndarray, also: list[Row] = []) -> list[Row]:  # noqa: B006
        """By meaning, nearest first, `also` among them."""
        query: Any = self._table.search(vector, vector_column_name="vector")
        query = query.distance_type("cosine")
        query = query.nprobes(CELLS)  # nothing, where there is no index of vectors
        rows = query.select([*COLUMNS, "lines", "_distance"]).limit(POOL).to_list()
        for row in rows:
            row["whole"] = 1.0 - row["_distance"]
        known = {row["id"] for row in rows}
        for row in also:
            if row["id"] not in known:
                row["whole"] = float(np.dot(vector, row["vector"]))
                rows.append(row)
        for row in rows:
            row["near"] = _nearness(vector, row)
        return sorted(rows, key=lambda row: (-row["near"], row["id"]))

    def worded(self, question: str, share: float = HALF) -> list[Row]:
        """By words, the rarer the better (BM25). One in common with the question is not enough:
        `share` of those that say something are."""
        words = keywords(question)
        if not words:
            return []
        match = MatchQuery(" ".join(words), "words")  # type: ignore[call-arg]  # it has defaults
        query = self._table.search(match, query_type="fts")
        columns = [*COLUMNS, "vector", "lines", "_score"]
        found = query.select(columns).limit(POOL_BY_WORDS).to_list()
        return [row for row in found if _shares(words, row) >= share * len(words)]

    def all(self) -> list[Passage]:
        """Every passage in the order of the documents; what two share is told once."""
        rows = self._table.to_arrow().select([*COLUMNS, "own"]).to_pylist()
        rows.sort(key=lambda row: row["id"])
        return [
            _passage(row | {"at": row["own"], "text": row["text"][row["own"] - row["at"] :]})
            for row in rows
        ]


GONE = "The documents have changed meanwhile, and what was asked for is no longer here. Ask again."
OTHER_EMBEDDER = (
    "These documents were read by another embedding model than the one in use now. On the "
    "documents page, under “Add documents”, press “Read all again”."
)


def _nearness(vector: np.ndarray, row: Row) -> float:
    """What is asked is often said in one sentence or two, and the rest of the passage is about
    something else. So a passage is as near as it is on the whole, by its best sentence and by its
    best two in a row, on average."""
    whole = float(row["whole"])
    lines = embedding.dequantised(np.frombuffer(row["lines"], dtype=np.int8)).reshape(
        -1, len(vector)
    )
    if not len(lines):
        return whole
    ones = lines @ vector
    pairs = lines[:-1] + lines[1:] if len(lines) > 1 else lines
    twos = (pairs @ vector) / np.maximum(np.linalg.norm(pairs, axis=1), 1e-6)
    return (whole + float(ones.max()) + float(twos.max())) / 3


def fuse_by_rank(near: list[Row], worded: list[Row], question: str, count: int) -> list[Passage]:
    """Put together by rank."""
    rows: dict[int, Row] = {}
    scores: dict[int, float] = {}
    for weight, found in ((1.0, near), (BY_WORDS, worded)):
        for rank, row in enumerate(found, start=1):
            rows.setdefault(row["id"], row)
            scores[row["id"]] = scores.get(row["id"], 0.0) + weight / (SMOOTHING + rank)
    best = sorted(scores, key=lambda key: (-scores[key], key))[:count]
    close = {row["id"] for row in near[:count]}
    most = (1.0 + BY_WORDS) / (SMOOTHING + 1)
    return [
        _passage(rows[key], scores[key] / most, why(question, rows[key], key in close))
        for key in best
    ]


def why(question: str, row: Row, close: bool) -> str:
    """In a few words what made it fit."""
    there = _stems(row)
    shared = [word for word in keywords(question) if _stem(word) in there]
    reasons = ["its words: " + ", ".join(shared[:4])] if shared else []
    if close or not reasons:
        reasons.append("close in meaning")
    return "; ".join(reasons)


def keywords(question: str) -> list[str]:
    """Its words that say what is asked about, each once."""
    return [*dict.fromkeys(w for w in WORD.findall(question.lower()) if w not in EMPTY)]


def _shares(words: list[str], row: Row) -> int:
    there = _stems(row)
    return sum(_stem(word) in there for word in words)


def _stems(row: Row) -> set[str]:
    return {_stem(word) for word in WORD.findall(f"{row['title']} {row['text']}".lower())}


def _stem(word: str) -> str:
    """Crude, and enough to see that two words are one in two forms."""
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
