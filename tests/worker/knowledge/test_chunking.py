"""A text is cut where a reader would: at headings, paragraphs, sentences."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.knowledge.chunking import MAX_CHARACTERS, OVERLAP_CHARACTERS, Chunk, split_into_chunks
from worker.knowledge.document_text import Text, Writer
from worker.knowledge.readers.markup import markdown

SENTENCE = "The inlet filter of the pump is rinsed every thirty days, in warm water only. "


def shown(text: Text, passage: Chunk) -> str:
    return text.text[passage.at : passage.end]


def test_short_sections_share_a_passage_and_keep_their_headings():
    text = markdown("# Pump\n\n## Warranty\n\nIt lasts long.\n\n## Cleaning\n\nUse warm water.")
    (only,) = split_into_chunks(text, "pump")
    assert only.title == "Pump"
    assert shown(text, only) == "Warranty\n\nIt lasts long.\n\nCleaning\n\nUse warm water."
    assert only.lines == ["Pump › Warranty: It lasts long.", "Pump › Cleaning: Use warm water."]


def test_a_section_that_does_not_fit_any_more_begins_a_new_one():
    text = markdown(f"# A\n\n{SENTENCE * 9}\n\n# B\n\n{SENTENCE * 9}")
    assert [one.title for one in split_into_chunks(text, "x")] == ["A", "B"]


def test_a_long_section_is_cut_at_sentences_and_repeats_the_last_ones():
    text = markdown("# Filters\n\n" + SENTENCE * 60)
    passages = split_into_chunks(text, "x")
    assert len(passages) >= 4
    for before, after in pairwise(passages):
        assert before.at < after.at < before.end == after.own - 1
        assert before.end - after.at <= OVERLAP_CHARACTERS
        assert shown(text, before).endswith("only.")
        assert shown(text, after).startswith("The inlet")


def test_what_stands_under_no_heading_is_called_like_its_file():
    assert [one.title for one in split_into_chunks(markdown("Only text."), "letter")] == ["letter"]


def test_headings_alone_are_the_text():
    (only,) = split_into_chunks(markdown("# One thing\n\n# Another thing"), "list")
    assert "Another thing" in only.lines[1]


def test_a_passage_knows_its_page():
    writer = Writer()
    for page in range(1, 6):
        writer.paragraph(SENTENCE * 12, page)
    passages = split_into_chunks(writer.done(), "x")
    assert sorted({one.page for one in passages}) == [1, 2, 3, 4, 5]


words = st.text(alphabet="ab.!\n 。ß", max_size=3000)


@given(st.lists(st.tuples(st.integers(0, 3), words), max_size=8))
def test_nothing_is_lost_or_out_of_order_and_no_passage_is_too_long(blocks):
    writer = Writer()
    for level, content in blocks:
        writer.heading(content, level) if level else writer.paragraph(content)
    text = writer.done()
    passages = split_into_chunks(text, "x")
    said = "".join(text.text[one.own : one.end] for one in passages)
    body = [text.text[b.at : b.end] for b in text.blocks if not b.level]
    if body:
        kept = "".join(said.split())
        assert all("".join(piece.split()) in kept for piece in body)
    for before, after in pairwise(passages):
        assert before.end <= after.own
    assert all(one.end - one.at <= MAX_CHARACTERS + OVERLAP_CHARACTERS + 2 for one in passages)
