"""JSON shared with the worker: spec and result of an index job, and files in the data folder."""

from typing import TypedDict


class DocumentSpec(TypedDict):
    id: int
    name: str
    folder: str  # absolute


class PracticeQuestion(TypedDict):
    id: int  # of the example
    question: str
    answer: str


class IndexSpec(TypedDict):
    documents: list[DocumentSpec]
    questions: list[PracticeQuestion]


class DocumentResult(TypedDict):
    id: int
    problem: str  # why it is not in the index; "" if it is
    pages: int
    characters: int
    passages: int


class IndexManifest(TypedDict):
    """`index.json` of an index. `documents` are the ids of those in it."""

    format: int
    embedder: str
    passages: int
    characters: int
    documents: list[int]


class SearchQuality(TypedDict, total=False):
    """For how many practice questions the search found the answer; empty if none was asked."""

    asked: int
    found: int
    missed: list[int]  # ids of examples


class IndexResult(TypedDict, total=False):
    """Only `stopped` is set if the job was stopped."""

    documents: list[DocumentResult]
    index: IndexManifest
    practice: SearchQuality
    stopped: bool


class ReadFile(TypedDict):
    """`read.json` of a document: what belongs to `text.txt`."""

    reader: int  # version
    pages: int
    blocks: list[tuple[int, int, int, int]]  # start, end, level (0: paragraph), page


class PassagesFile(TypedDict):
    """`passages.json` of a document. Before `new_start` a passage overlaps the one before."""

    cutter: int  # version
    embedder: str
    # start, end, new_start, page, title, number of sentences
    passages: list[tuple[int, int, int, int, str, int]]
