"""Split a document's text into chunks: short enough for one subject, long enough to stand alone.

Short neighbouring sections share a chunk. A long section is split at the end of a paragraph or, in
a long paragraph, of a sentence. The chunk after such a split repeats the last sentence or two, in
case the answer spans both. Why this is our own: docs/decisions/0028.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from worker.knowledge.document_text import Block, DocumentText

CHUNKER_VERSION = 1  # raised when the chunks change, so that all documents are split again
TARGET_CHARACTERS = 900  # about 150 words
MAX_CHARACTERS = 1_200  # about 200 words
OVERLAP_CHARACTERS = 240  # about 40 words
MAX_TITLE_CHARACTERS = 160
MIN_SENTENCE_WORDS = 3  # shorter sentences are not embedded on their own
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\sa-z])|(?<=[。！？])|\n")


@dataclass(frozen=True)
class Chunk:
    """text[start:end] of a document. What precedes `new_start` overlaps the chunk before.
    `sentences` are embedded one by one, each with its headings in front."""

    start: int
    end: int
    new_start: int
    page: int
    title: str
    sentences: list[str] = field(default_factory=list)


class _Span(NamedTuple):
    start: int
    end: int


@dataclass
class _Section:
    """The text under one heading, in paragraphs or sentences. `start` includes the heading."""

    start: int
    headings: list[str]
    page: int
    spans: list[_Span] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.spans[-1].end


def split_into_chunks(text: DocumentText, name: str) -> list[Chunk]:
    """Chunks in the order of the text. `name` is the title of text without a heading."""
    chunks: list[Chunk] = []
    for group in _merge_short(_sections(text)):
        if len(group) > 1:
            headings = _common_headings([section.headings for section in group])
            first, last = group[0], group[-1]
            sentences = [line for section in group for line in _embedded(text, section, name)]
            title = _title(headings, name)
            chunks.append(Chunk(first.start, last.end, first.start, first.page, title, sentences))
        else:
            chunks += _split_section(text, group[0], name)
    return chunks


def _common_headings(paths: list[list[str]]) -> list[str]:
    levels = zip(*paths, strict=False)
    return [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]


def _sections(text: DocumentText) -> Iterator[_Section]:
    """Sections with text of their own."""
    if all(block.level for block in text.blocks):  # only headings, which then are the text
        spans = [span for block in text.blocks for span in _spans(text.text, block)]
        if spans:
            yield _Section(0, [], text.blocks[0].page, spans)
        return
    open_headings: list[tuple[int, str]] = []
    section: _Section | None = None
    for block in text.blocks:
        if block.level:
            if section and section.spans:
                yield section
            level = block.level
            open_headings = [one for one in open_headings if one[0] < level]
            open_headings.append((level, text.text[block.start : block.end]))
            section = _Section(block.start, [title for _, title in open_headings], block.page)
            continue
        section = section or _Section(block.start, [], block.page)
        section.spans += _spans(text.text, block)
    if section and section.spans:
        yield section


def _merge_short(sections: Iterator[_Section]) -> Iterator[list[_Section]]:
    """Groups of neighbouring sections that fit into one chunk."""
    group: list[_Section] = []
    for section in sections:
        if group and section.end - group[0].start > MAX_CHARACTERS:
            yield group
            group = []
        group.append(section)
    if group:
        yield group


def _split_section(text: DocumentText, section: _Section, name: str) -> Iterator[Chunk]:
    title = _title(section.headings, name)
    before: list[_Span] = []
    for group in _balanced(section.spans):
        start, end = group[0].start, group[-1].end
        page = text.blocks[bisect_right(text.blocks, start, key=lambda block: block.start) - 1].page
        sentences = _embedded(text, _Section(start, section.headings, page, group), name)
        yield Chunk(_overlap_start(before, start), end, start, page, title, sentences)
        before = group


def _title(headings: list[str], name: str) -> str:
    return " › ".join(headings[-3:])[:MAX_TITLE_CHARACTERS] or name


def _embedded(text: DocumentText, section: _Section, name: str) -> list[str]:
    """The section's sentences, each with its headings in front."""
    sentences = [
        text.text[start:end]
        for span in section.spans
        for start, end in _sentences(text.text, *span)
    ]
    longer = [one for one in sentences if len(one.split()) >= MIN_SENTENCE_WORDS] or sentences
    return [f"{_title(section.headings, name)}: {one}" for one in longer]


def _spans(text: str, block: Block) -> list[_Span]:
    """The whole block if it is short enough to be repeated, else its sentences."""
    if block.end - block.start <= OVERLAP_CHARACTERS:
        return [_Span(block.start, block.end)]
    return list(_sentences(text, block.start, block.end))


def _sentences(text: str, start: int, end: int) -> Iterator[_Span]:
    for match in SENTENCE_END.finditer(text, start, end):
        yield from _split_long(text, start, match.start())
        start = match.end()
    yield from _split_long(text, start, end)


def _split_long(text: str, start: int, end: int) -> Iterator[_Span]:
    """Split a sentence longer than a chunk, such as a table without full stops, at spaces."""
    while end - start > TARGET_CHARACTERS:
        space = text.rfind(" ", start + TARGET_CHARACTERS // 2, start + TARGET_CHARACTERS)
        middle = space if space > 0 else start + TARGET_CHARACTERS
        yield _Span(start, middle)
        start = middle + (space > 0)
    if end > start:
        yield _Span(start, end)


def _balanced(spans: list[_Span]) -> Iterator[list[_Span]]:
    """Groups of about TARGET_CHARACTERS; the last one may be shorter."""
    total = spans[-1].end - spans[0].start
    parts = 1 if total <= MAX_CHARACTERS else max(2, -(-total // TARGET_CHARACTERS))
    target = total / parts
    group: list[_Span] = []
    for span in spans:
        if group:
            size = span.end - group[0].start
            middle = size - (span.end - span.start) / 2
            if parts > 1 and (size > MAX_CHARACTERS or middle > target):
                yield group
                group = []
        group.append(span)
    yield group


def _overlap_start(before: list[_Span], start: int) -> int:
    """Start of the last sentences of the chunk before; `start` if they are too long."""
    for span in reversed(before[1:]):
        if before[-1].end - span.start > OVERLAP_CHARACTERS:
            break
        start = span.start
    return start
