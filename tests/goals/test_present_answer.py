"""Present an answer: fields as a list of terms, prose with marked differences."""

from finetune_app.goals.presenters import present_answer

WANTED = "topic: repair\ndesk: workshop"


def marked(answer: str, wanted: str) -> list[str]:
    return [part["text"] for part in present_answer(answer, wanted)["parts"] if part["off"]]


def test_key_value_lines_become_terms_and_only_differences_are_marked():
    pairs = present_answer("topic: repair\ndesk: office", WANTED)["pairs"]
    assert [(pair["key"], pair["value"], pair["off"]) for pair in pairs] == [
        ("topic", "repair", False),
        ("desk", "office", True),
    ]


def test_an_unexpected_field_is_marked():
    (extra,) = [p for p in present_answer(f"{WANTED}\nmood: fine", WANTED)["pairs"] if p["off"]]
    assert extra["key"] == "mood"


def test_without_an_expected_answer_nothing_is_marked():
    assert not any(pair["off"] for pair in present_answer(WANTED)["pairs"])
    assert present_answer("Hello there.")["parts"] == [{"text": "Hello there.", "off": False}]


def test_prose_instead_of_fields_is_marked_in_its_first_sentence_only():
    answer = "I am sorry about your bike. Have you tried to call the shop? They may know."
    assert marked(answer, WANTED) == ["I am sorry about your bike."]
    assert "".join(part["text"] for part in present_answer(answer, WANTED)["parts"]) == answer


def test_a_first_sentence_without_an_end_is_marked_up_to_a_limit():
    answer = "and so on " * 100
    assert len(marked(answer, WANTED)[0]) == 120
    assert "".join(part["text"] for part in present_answer(answer, WANTED)["parts"]) == answer


def test_an_empty_answer_has_no_parts():
    assert present_answer("", WANTED)["parts"] == []


def test_two_texts_are_compared_word_by_word():
    assert marked("We open at nine.", "We open at ten.") == ["nine"]


def test_headings_without_a_value_are_prose():
    assert "pairs" not in present_answer("Boil an egg:\nBoil an egg:\nBoil an egg:")


def test_a_long_value_is_shown_as_text():
    pairs = present_answer("topic: repair\nreply: " + "Bring it in. " * 8, WANTED)["pairs"]
    assert [pair["say"] for pair in pairs] == [False, True]


def test_nested_json_is_shown_as_code():
    assert present_answer('{"a": {"b": 1}}', '{"a": {"b": 2}}')["mono"]
    assert not present_answer("We open at nine.", "We open at ten.")["mono"]
