"""Texts from outside are stored by each database and written as UTF-8."""

import pytest

from finetune_app.core.storable_text import storable, storable_json


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\0b", "a␀b"),
        ("half \ud83d here", "half � here"),
        ("\udfff\0\ud800", "�␀�"),
        ("😀 ␀ � é", "😀 ␀ � é"),
    ],
)
def test_characters_that_cannot_be_stored_are_shown_as_a_symbol(text, stored):
    assert storable(text) == stored
    assert stored.encode()


def test_each_text_and_name_of_a_json_value():
    given = {"na\0me": ["\ud800", {"deep": "\0"}], "count": 3, "none": None}
    assert storable_json(given) == {"na␀me": ["�", {"deep": "␀"}], "count": 3, "none": None}
