"""The verdict page says which fields are right, or which labels are mixed up."""

import html
import json

import pytest
from django.urls import reverse

from finetune_app.evaluation import breakdown
from finetune_app.evaluation.breakdown import PromptAnswers, field_table, label_table
from finetune_app.evaluation.report.contents import report_of
from finetune_app.goals.measures import get_measure
from finetune_app.goals.measures.field_scores import FieldScore

EXACT = get_measure("exact", {})
JSON = get_measure("json", {"partial": True})


def prompts(*rows: tuple[str, str, str]) -> list[PromptAnswers]:
    return [PromptAnswers(*row) for row in rows]


def page(browser, evaluation) -> str:
    url = reverse("evaluation:detail", args=[evaluation.goal_id, evaluation.pk])
    reply = browser.get(url)
    assert reply.status_code == 200
    return " ".join(html.unescape(reply.content.decode()).split())


def answered(evaluation, measure: str, wanted: list[str], base: list[str], ours: list[str]) -> None:
    """Make the prompts of an evaluation and their answers these."""
    evaluation.measure, evaluation.measure_settings = measure, {}
    evaluation.save()
    evaluation.comparisons.filter(index__gte=len(wanted)).delete()
    evaluation.answers.filter(index__gte=len(wanted)).delete()
    rows = zip(wanted, base, ours, strict=True)
    for index, (text, of_base, of_ours) in enumerate(rows):
        evaluation.comparisons.update_or_create(index=index, defaults={"wanted": text})
        for candidate, answer in ((evaluation.base, of_base), (evaluation.ours, of_ours)):
            evaluation.answers.update_or_create(
                candidate=candidate,
                index=index,
                defaults={"text": answer, "passed": answer == text, "row": index},
            )


def test_each_field_has_its_scores():
    wanted = '{"topic": "return", "due": "today"}'
    table = field_table(
        JSON,
        prompts(
            (wanted, "{}", wanted),
            (wanted, '{"topic": "return"}', '{"topic": "return", "due": "later"}'),
            (wanted, "no json", '{"topic": "hire", "due": "today", "mood": 1}'),
        ),
    )
    by_name = {row.name: row for row in table.rows}
    assert by_name["topic"].ours == FieldScore(2, 3, 3)
    assert by_name["topic"].base == FieldScore(1, 1, 3)
    assert by_name["due"].base == FieldScore(0, 0, 3)
    assert by_name["mood"].ours == FieldScore(0, 1, 0)
    assert table.total.ours == FieldScore(4, 7, 6)
    assert table.total.base == FieldScore(1, 1, 6)


def test_what_base_alone_made_up_is_in_its_total():
    table = field_table(JSON, prompts(('{"a": 1}', '{"a": 1, "b": 2}', '{"a": 1}')))
    assert table.total.base == FieldScore(1, 2, 1)
    assert table.total.ours == FieldScore(1, 1, 1)


def test_many_fields_are_cut_off_and_counted():
    wanted = json.dumps({f"field {n}": n for n in range(30)})
    table = field_table(JSON, prompts((wanted, "{}", wanted)))
    assert (len(table.rows), table.left_out) == (20, 10)
    assert table.total.ours.right == 30


def test_a_list_has_one_row_for_all_its_items():
    table = field_table(get_measure("items", {}), prompts(("a\nb", "a", "a\nb\nc")))
    assert table.rows == []
    assert table.total.ours == FieldScore(2, 3, 2)


def test_a_few_answers_that_look_like_fields_make_no_table():
    prose = ("Hello there", "Hi", "Hello")
    lines = ("from: Leeds\nto: York", "Hi", "from: Leeds\nto: York")
    assert field_table(EXACT, prompts(prose, prose, prose, lines)) is None
    assert field_table(EXACT, prompts(prose, lines)) is not None


def test_labels_have_a_table_of_confusions():
    rows = [("hire", "hire", "hire"), ("hire", "?", "return"), ("return", "hire", "return")] * 2
    table = label_table(EXACT, prompts(*rows))
    assert table.ours.labels == ["hire", "return"]
    assert [[cell.count for cell in row.cells] for row in table.matrix_ours] == [[2, 2], [0, 2]]
    assert [row.other for row in table.matrix_base] == [2, 0]
    assert [(one.wanted, one.given, one.count) for one in table.mixups] == [("hire", "return", 2)]


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [
        ("exact", [f"answer {n}" for n in range(20)]),  # all different
        ("exact", ["the same"] * 20),  # only one
        ("exact", ["a long answer " * 9, "another " * 9] * 10),
        ("exact", ["one\nline", "and\nmore"] * 10),
        ("close", ["hire", "return"] * 10),
    ],
)
def test_other_answers_are_no_labels(measure, wanted):
    assert not breakdown.are_labels(get_measure(measure, {}), wanted)


def test_declining_and_answering_are_labels():
    measure = get_measure("refusal", {})
    assert breakdown.are_labels(measure, ["I can’t say.", "It is blue.", "I can’t.", "Yes."])


def test_many_labels_have_rows_and_no_confusion_table():
    rows = [(f"label {n % 20}", "?", f"label {n % 20}") for n in range(60)]
    table = label_table(EXACT, prompts(*rows))
    assert len(table.rows) == 20
    assert not table.matrix_ours


def confusions(measure, *rows: tuple[str, str, str]) -> dict[str, breakdown.LabelTable]:
    return {one.name: one.labels for one in field_table(measure, prompts(*rows)).confusions}


def lines(topic: str, days: int) -> str:
    return f"topic: {topic}\ndays: {days}"


def test_a_field_with_few_different_values_has_a_table_of_confusions():
    """Each number of days is wanted once, so it is no label."""
    found = confusions(
        EXACT,
        (lines("hire", 1), "?", lines("hire", 1)),
        (lines("hire", 2), "?", lines("return", 2)),
        (lines("return", 3), "?", lines("return", 3)),
        (lines("return", 4), lines("hire", 4), "days: 4\nmood: good"),
    )
    assert list(found) == ["topic"]
    table = found["topic"]
    assert [[cell.count for cell in row.cells] for row in table.matrix_ours] == [[1, 1], [0, 1]]
    assert [row.other for row in table.matrix_ours] == [0, 1]  # one lacks the field
    assert [row.other for row in table.matrix_base] == [2, 1]
    assert ("hire", "return", 1) in [(m.wanted, m.given, m.count) for m in table.mixups]


def test_values_of_json_are_shown_without_quotation_marks_and_kept_apart():
    yes, true = '{"ok": "true", "n": 1}', '{"ok": true, "n": 1}'
    rows = [(yes, yes, true), (yes, yes, yes), (true, yes, true), (true, yes, true)]
    table = confusions(JSON, *rows)["ok"]
    assert [row.label for row in table.matrix_ours] == ["true", "true"]
    assert sum(cell.count for row in table.matrix_ours for cell in row.cells if cell.right) == 3


def test_lists_and_empty_answers_make_no_confusion():
    wanted = ['{"tags": ["a", "b"], "topic": ""}', '{"tags": ["b"], "topic": "hire"}'] * 3
    found = confusions(JSON, *((text, "", "{}") for text in wanted))
    assert list(found) == ["topic"]
    assert [row.other for row in found["topic"].matrix_ours] == [3, 3]


def test_the_page_and_the_report_show_what_is_mixed_up_in_a_field(as_viewer, tested):
    wanted = ['{"topic": "hire", "due": "today"}', '{"topic": "return", "due": "later"}'] * 2
    ours = [wanted[0].replace("hire", "return"), *wanted[1:]]
    answered(tested, "json", wanted, ["I see"] * 4, ours)
    shown = page(as_viewer, tested)
    assert "What the tuned model mixes up in “topic”" in shown
    assert "<b>hire</b> was wanted and <b>return</b> answered: once" in shown
    assert "Nothing: each value is right." in shown  # of “due”
    (section,) = [s for s in report_of(tested).sections if "mixes up most" in s.title]
    assert section.table.columns == ["Field", "Wanted", "Answered instead", "How often"]
    assert section.table.rows == [["topic", "hire", "return", "1"]]


def test_the_report_shows_which_labels_are_mixed_up(tested):
    wanted = ["hire", "return", "repair"] * 3
    answered(tested, "exact", wanted, ["I see"] * 9, ["hire", "return", "hire"] * 3)
    (section,) = [s for s in report_of(tested).sections if "mixes up most" in s.title]
    assert section.table.rows == [["repair", "hire", "3"]]


def test_the_page_shows_labels(as_viewer, tested):
    wanted = ["hire", "return", "repair"] * 3
    answered(tested, "exact", wanted, ["I see"] * 9, ["hire", "return", "hire"] * 3)
    shown = page(as_viewer, tested)
    assert "Label by label" in shown
    assert "Right: the tuned model 6 of 9, the base model 0." in shown
    assert "With each label counting the same: 56% and 0%." in shown
    assert "<b>repair</b> was wanted and <b>hire</b> answered: 3 times" in shown
    assert "something else" in shown


def test_the_page_shows_fields(as_viewer, tested):
    wanted = ['{"topic": "hire", "due": "today"}'] * 4
    answered(tested, "json", wanted, ["I see"] * 4, [*wanted[:3], '{"topic": "hire"}'])
    shown = page(as_viewer, tested)
    assert "Field by field" in shown
    assert "Right as a whole: the tuned model 3 of 4, the base model 0." in shown
    assert "found 75%, right 100%" in shown
    assert "Label by label" not in shown


def test_free_text_has_neither(as_viewer, tested):
    wanted = [f"We mend bike {n} by Friday." for n in range(8)]
    answered(tested, "close", wanted, ["I see"] * 8, wanted)
    shown = page(as_viewer, tested)
    assert "Label by label" not in shown
    assert "Field by field" not in shown


def test_a_part_of_the_page_does_without(as_viewer, tested, monkeypatch):
    def fails(_evaluation):
        raise AssertionError("not needed for the rows")

    monkeypatch.setattr(breakdown, "breakdown_of", fails)
    url = reverse("evaluation:detail", args=[tested.goal_id, tested.pk])
    headers = {"HX-Request": "true", "HX-Target": "sides"}
    assert as_viewer.get(url, headers=headers).status_code == 200
