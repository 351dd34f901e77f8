"""The PDF of a report: texts are data, and every script has its direction."""

import pytest

from worker.report_pdf import BREAK, prepared


def test_every_line_gets_its_direction():
    found = prepared({"rows": ["שלום\nabc", "123 مرحبا"], "n": 3, "none": None})
    hebrew, arabic = found["rows"]
    assert hebrew["lines"] == [{"text": "שלום", "rtl": True}, {"text": "abc", "rtl": False}]
    assert arabic["lines"] == [{"text": "123 مرحبا", "rtl": True}]
    assert (found["n"], found["none"]) == (3, None)


def test_control_characters_are_left_out():
    assert prepared("a\x00b\x1bc\nd\te")["text"] == "abc\nd\te"


@pytest.mark.parametrize("word", ["x" * 1000, "https://example.com/" + "é" * 60])
def test_a_long_word_may_break(word):
    text = prepared(word)["text"]
    assert text.replace(BREAK, "") == word
    assert max(map(len, text.split(BREAK))) <= 20


def test_scripts_that_have_breaks_of_their_own_are_left_alone():
    for text in ("文" * 100, "สวัสดี" * 20, "🚲" * 50):
        assert prepared(text)["text"] == text
