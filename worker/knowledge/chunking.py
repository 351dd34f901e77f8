"""A document's text is cut into passages: short enough to be about one thing, long enough to be
understood alone.

Short sections that follow each other share a passage; a long one is cut at the end of a paragraph
or, in a long paragraph, of a sentence. What follows such a cut repeats the last sentence or two
before it, in case the answer lies across. A passage never reaches over two documents.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from worker.knowledge.document_text import Block, Text

CHUNKER_VERSION = 1  # raised when cutting changes, so that all is cut again
TARGET_CHARACTERS = 900  # characters: about 150 words
MAX_CHARACTERS = 1_200  # about 200 words
OVERLAP_CHARACTERS = 240  # about 40 words
MAX_TITLE_CHARACTERS = 160
MIN_SENTENCE_WORDS = 3  # of a sentence that can say something by itself
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\sa-z])|(?<=[。！？])|\n")


@dataclass(frozen=True)
class Chunk:
    """text[at:end]; from `own` on it is what no passage before it has. `lines` are its sentences,
    each after the headings it stands under."""

    at: int
    end: int
    own: int
    page: int
    title: str
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Span:
    at: int
    end: int


@dataclass
class _Section:
    """What stands under one heading. `at` is where the heading begins."""

    at: int
    path: list[str]
    page: int
    pieces: list[_Span] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.pieces[-1].end


def split_into_chunks(text: Text, name: str) -> list[Chunk]:
    """Passages in the order of the text. `name` is the title of what stands under no heading."""
    found: list[Chunk] = []
    for together in _together(_sections(text)):
        if len(together) > 1:
            path = _shared([section.path for section in together])
            first, last = together[0], together[-1]
            lines = [line for section in together for line in _lines(text, section, name)]
            title = _title(path, name)
            found.append(Chunk(first.at, last.end, first.at, first.page, title, lines))
        else:
            found += _divided(text, together[0], name)
    return found


def _shared(paths: list[list[str]]) -> list[str]:
    """The headings that stand above all of them."""
    levels = zip(*paths, strict=False)
    return [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]


def _sections(text: Text) -> Iterator[_Section]:
    """Those that have text of their own."""
    if all(block.level for block in text.blocks):  # headings only: then they are the text
        yield from _one_section(text)
        return
    above: list[tuple[int, str]] = []
    section: _Section | None = None
    for block in text.blocks:
        if block.level:
            if section and section.pieces:
                yield section
            level = block.level
            above = [one for one in above if one[0] < level]
            above.append((level, text.text[block.at : block.end]))
            section = _Section(block.at, [title for _, title in above], block.page)
            continue
        section = section or _Section(block.at, [], block.page)
        section.pieces += _pieces(text.text, block)
    if section and section.pieces:
        yield section


def _one_section(text: Text) -> Iterator[_Section]:
    pieces = [piece for block in text.blocks for piece in _pieces(text.text, block)]
    if pieces:
        yield _Section(0, [], text.blocks[0].page, pieces)


def _together(sections: Iterator[_Section]) -> Iterator[list[_Section]]:
    """Neighbours that fit into one passage."""
    group: list[_Section] = []
    for section in sections:
        if group and section.end - group[0].at > MAX_CHARACTERS:
            yield group
            group = []
        group.append(section)
    if group:
        yield group


def _divided(text: Text, section: _Section, name: str) -> Iterator[Chunk]:
    """One section, in as many passages as it needs."""
    title = _title(section.path, name)
    before: list[_Span] = []
    for group in _groups(section.pieces):
        own = group[0].at
        lines = _lines(text, _Section(own, section.path, section.page, group), name)
        page = _page_at(text, own)
        yield Chunk(_repeated(before, own), group[-1].end, own, page, title, lines)
        before = group


def _page_at(text: Text, at: int) -> int:
    low, high = 0, len(text.blocks) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text.blocks[middle].at <= at else (low, middle - 1)
    return text.blocks[low].page


def _title(path: list[str], name: str) -> str:
    return " › ".join(path[-3:])[:MAX_TITLE_CHARACTERS] or name


def _lines(text: Text, section: _Section, name: str) -> list[str]:
    sentences = [
        text.text[at:end]
        for piece in section.pieces
        for at, end in _sentences(text.text, piece.at, piece.end)
    ]
    telling = [one for one in sentences if len(one.split()) >= MIN_SENTENCE_WORDS] or sentences
    return [f"{_title(section.path, name)}: {one}" for one in telling]


def _pieces(text: str, block: Block) -> list[_Span]:
    """A paragraph whole when it is short enough to be repeated, else its sentences."""
    if block.end - block.at <= OVERLAP_CHARACTERS:
        return [_Span(block.at, block.end)]
    return [_Span(at, end) for at, end in _sentences(text, block.at, block.end)]


def _sentences(text: str, at: int, end: int) -> Iterator[tuple[int, int]]:
    for match in SENTENCE_END.finditer(text, at, end):
        yield from _pressed(text, at, match.start())
        at = match.end()
    yield from _pressed(text, at, end)


def _pressed(text: str, at: int, end: int) -> Iterator[tuple[int, int]]:
    """In parts where it is longer than a passage: a table without stops, say."""
    while end - at > TARGET_CHARACTERS:
        space = text.rfind(" ", at + TARGET_CHARACTERS // 2, at + TARGET_CHARACTERS)
        middle = space if space > 0 else at + TARGET_CHARACTERS
        yield at, middle
        at = middle + (space > 0)
    if end > at:
        yield at, end


def _groups(pieces: list[_Span]) -> Iterator[list[_Span]]:
    """As many pieces as make a passage; what would be left over is spread, not left alone."""
    total = pieces[-1].end - pieces[0].at
    parts = 1 if total <= MAX_CHARACTERS else max(2, -(-total // TARGET_CHARACTERS))
    wanted = total / parts
    group: list[_Span] = []
    for piece in pieces:
        if group:
            size = piece.end - group[0].at
            if parts > 1 and (size > MAX_CHARACTERS or size - (piece.end - piece.at) / 2 > wanted):
                yield group
                group = []
        group.append(piece)
    yield group


def _repeated(before: list[_Span], own: int) -> int:
    """Where the last sentences of the passage before begin; `own` when they are long."""
    at = own
    for piece in reversed(before[1:]):
        if before[-1].end - piece.at > OVERLAP_CHARACTERS:
            break
        at = piece.at
    return at
