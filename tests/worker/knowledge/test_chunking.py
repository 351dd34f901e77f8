"""Split a text at headings, paragraphs and sentences."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.knowledge.chunking import MAX_CHARACTERS, OVERLAP_CHARACTERS, Chunk, split_into_chunks
from worker.knowledge.document_text import DocumentText, TextBuilder
from worker.knowledge.readers.markup import markdown

SENTENCE = "The inlet filter of the pump is rinsed every thirty days, in warm water only. "


def content(text: DocumentText, chunk: Chunk) -> str:
    return text.text[chunk.start : chunk.end]


def test_split_short_sections_merges_them_with_their_headings():
    text = markdown("# Pump\n\n## Warranty\n\nIt lasts long.\n\n## Cleaning\n\nUse warm water.")
    (only,) = split_into_chunks(text, "pump")
    assert only.title == "Pump"
    assert content(text, only) == "Warranty\n\nIt lasts long.\n\nCleaning\n\nUse warm water."
    assert only.sentences == ["Pump › Warranty: It lasts long.", "Pump › Cleaning: Use warm water."]


def test_split_sections_too_long_to_merge_keeps_them_apart():
    text = markdown(f"# A\n\n{SENTENCE * 9}\n\n# B\n\n{SENTENCE * 9}")
    assert [one.title for one in split_into_chunks(text, "x")] == ["A", "B"]


def test_split_long_section_overlaps_by_whole_sentences():
    text = markdown("# Filters\n\n" + SENTENCE * 60)
    chunks = split_into_chunks(text, "x")
    assert len(chunks) >= 4
    for before, after in pairwise(chunks):
        assert before.start < after.start < before.end == after.new_start - 1
        assert before.end - after.start <= OVERLAP_CHARACTERS
        assert content(text, before).endswith("only.")
        assert content(text, after).startswith("The inlet")


def test_split_text_without_heading_uses_the_name_as_title():
    assert [one.title for one in split_into_chunks(markdown("Only text."), "letter")] == ["letter"]


def test_split_only_headings_treats_them_as_text():
    (only,) = split_into_chunks(markdown("# One thing\n\n# Another thing"), "list")
    assert "Another thing" in only.sentences[1]


def test_split_text_with_pages_sets_the_page():
    builder = TextBuilder()
    for page in range(1, 6):
        builder.paragraph(SENTENCE * 12, page)
    chunks = split_into_chunks(builder.build(), "x")
    assert sorted({one.page for one in chunks}) == [1, 2, 3, 4, 5]


some_text = st.text(alphabet="ab.!\n 。ß", max_size=3000)


@given(st.lists(st.tuples(st.integers(0, 3), some_text), max_size=8))
def test_split_any_text_loses_nothing_and_limits_the_length(blocks):
    builder = TextBuilder()
    for level, words in blocks:
        builder.heading(words, level) if level else builder.paragraph(words)
    text = builder.build()
    chunks = split_into_chunks(text, "x")
    new_text = "".join(text.text[one.new_start : one.end] for one in chunks)
    body = [text.text[b.start : b.end] for b in text.blocks if not b.level]
    if body:
        kept = "".join(new_text.split())
        assert all("".join(piece.split()) in kept for piece in body)
    for before, after in pairwise(chunks):
        assert before.end <= after.new_start
    assert all(one.end - one.start <= MAX_CHARACTERS + OVERLAP_CHARACTERS + 2 for one in chunks)
