"""Answers that are partly right: F1 over fields, nested ones too, in JSON, XML and lines."""

import json

import pytest

from finetune_app.goals.measures import get_measure
from finetune_app.goals.measures.field_scores import FieldScore, score_fields, scores_by_name

WANTED = {
    "customer": {"name": "Ann", "town": "Leeds"},
    "tags": ["lamp", "bell"],
    "lines": [{"item": "lamp", "count": 2}, {"item": "bell", "count": 1}],
    "urgent": True,
}


def partly(answer, wanted=WANTED, kind="json", **settings):
    measure = get_measure(kind, {"partial": True} | settings)
    texts = [one if isinstance(one, str) else json.dumps(one) for one in (answer, wanted)]
    return measure.check(*texts)


def test_only_with_the_setting_it_is_graded():
    assert get_measure("json", {"partial": True}).graded
    assert get_measure("xml", {"partial": True}).graded
    assert not get_measure("json", {}).graded
    assert not get_measure("xml", {}).graded


def test_a_right_answer_has_full_points_and_one_of_nine_fields_wrong_has_fewer():
    assert partly(WANTED).value == 1.0
    wrong = WANTED | {"customer": {"name": "Ann", "town": "York"}}
    assert partly(wrong).value == pytest.approx(8 / 9)
    assert not partly(wrong).passed


def test_missing_and_made_up_fields_both_cost_points():
    missing = {name: value for name, value in WANTED.items() if name != "urgent"}
    assert partly(missing).value == pytest.approx(2 * 8 / (8 + 9))
    assert partly(WANTED | {"mood": "fine"}).value == pytest.approx(2 * 9 / (10 + 9))


def test_texts_of_a_list_may_stand_in_any_order_but_the_whole_is_not_right():
    found = partly(WANTED | {"tags": ["bell", "lamp"]})
    assert not found.passed
    assert found.value == 0.95


def test_parts_of_objects_in_a_list_are_not_swapped():
    swapped = WANTED | {"lines": [{"item": "lamp", "count": 1}, {"item": "bell", "count": 2}]}
    assert partly(swapped).value == pytest.approx(7 / 9)


def test_a_value_in_another_field_is_not_right():
    assert partly({"a": 1, "b": 2}, {"a": 2, "b": 1}).value == 0.0


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (10**20, 1e20)])
def test_equal_numbers_are_equal_fields(one, other):
    assert partly({"a": one, "b": 1}, {"a": other, "b": 2}).value == 0.5


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), ("1", 1), (None, ""), ([], {}), (["x"], "x")]
)
def test_values_of_another_kind_are_not(one, other):
    assert partly({"a": one, "b": 1}, {"a": other, "b": 1}).value == 0.5


def test_what_is_no_json_has_no_points():
    assert partly("Sure, here it is").value == 0.0
    assert partly("[1]").value == 0.0


def test_only_chosen_fields_count():
    answer = {"topic": "return", "due": "today", "note": "x"}
    wanted = {"topic": "return", "due": "later", "note": "y"}
    assert partly(answer, wanted, fields=["topic", "due"]).value == 0.5
    # A field that the wanted answer lacks has to be there, with any value.
    assert partly(answer, wanted, fields=["topic", "more"]).value == pytest.approx(2 / 3)
    names = partly(answer, wanted, compare="fields", fields=["topic", "more"])
    assert names.value == pytest.approx(2 / 3)
    assert partly({"topic": 1}, wanted, compare="fields").value == pytest.approx(2 / 4)


ORDER = (
    '<order id="7"><line><item>lamp</item><count>2</count></line>'
    "<line><item>bell</item><count>1</count></line><due>today</due></order>"
)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (ORDER, 1.0),
        (ORDER.replace("today", "later"), 5 / 6),
        (ORDER.replace('id="7"', 'id="8"'), 5 / 6),
        (ORDER.replace("<due>today</due>", ""), 10 / 11),
        (ORDER.replace("<due>", "<x/><due>"), 12 / 13),
        # The counts of two lines swapped: not right, though each is there.
        (ORDER.replace(">2<", ">z<").replace(">1<", ">2<").replace(">z<", ">1<"), 4 / 6),
        ("no xml", 0.0),
    ],
)
def test_xml_is_scored_by_element_and_attribute(answer, value):
    assert partly(answer, ORDER, kind="xml").value == pytest.approx(value)


def test_siblings_in_another_order_are_right_as_a_whole_and_in_the_table():
    lines = ORDER[len('<order id="7">') : ORDER.index("<due>")]
    first, second = lines.split("</line>")[:2]
    other = ORDER.replace(lines, f"{second}</line>{first}</line>")
    assert partly(other, ORDER, kind="xml").passed
    pair = get_measure("xml", {}).fields(other, ORDER)
    assert score_fields(pair).f1 == 1.0


def test_only_chosen_elements_count():
    wrong = ORDER.replace("today", "later")
    assert partly(wrong, ORDER, kind="xml", fields=["due", "item"]).value == pytest.approx(2 / 3)
    assert partly("<due/>", "no xml", kind="xml", compare="fields", fields=["due", "x"]).value == (
        pytest.approx(2 / 3)
    )


def test_lines_are_fields_for_the_table():
    measure = get_measure("exact", {})
    pair = measure.fields("topic: return\ndue: today", "topic: return\ndue: later")
    assert score_fields(pair) == FieldScore(1, 2, 2)
    assert measure.fields("anything", "a label") is None
    assert measure.fields("prose", "topic: a\ndue: b").got.total() == 0


def test_lines_that_may_hold_anything_are_left_out():
    measure = get_measure("exact", {"lines": ["topic"]})
    pair = measure.fields("topic: a\nreply: Hello", "topic: a\nreply: Good day")
    assert score_fields(pair) == FieldScore(1, 1, 1)


def test_a_field_that_is_never_wanted_has_no_recall():
    made_up = get_measure("json", {}).fields('{"a": 1, "b": 2}', '{"a": 1}')
    scores = scores_by_name([made_up])
    assert (scores["b"].precision, scores["b"].recall, scores["b"].f1) == (0.0, 0.0, 0.0)
    assert scores["a"].f1 == 1.0


def test_the_best_constant_has_the_commonest_value_of_each_field():
    answers = [
        json.dumps({"topic": "return" if n % 3 else "hire", "day": "Monday" if n % 4 else "Friday"})
        for n in range(24)
    ]
    constant = get_measure("json", {"partial": True}).best_constant(answers)
    assert json.loads(constant) == {"topic": "return", "day": "Monday"}


def test_the_best_constant_of_xml_has_the_commonest_elements():
    answers = [
        f"<mail><topic>{'return' if n % 3 else 'hire'}</topic><n>{n}</n></mail>" for n in range(24)
    ]
    measure = get_measure("xml", {"partial": True})
    constant = measure.best_constant(answers)
    assert "<topic>return</topic>" in constant
    assert sum(measure.check(constant, one).value for one in answers) >= 8
