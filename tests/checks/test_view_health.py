"""The health page: every point explained, with evidence and decisions."""

import pytest
from django.urls import reverse

from finetune_app.datasets.models import Example, Status
from tests.example_rows import conversation, pair
from tests.page_text import compact

ASKED = "Could you please tell me when the repair of my bicycle will be finished this week"


def rows(count: int = 120) -> list[dict]:
    return [{"messages": conversation(*pair(n))} for n in range(count)]


@pytest.fixture
def contradicting(add_examples):
    answers = ("topic: repair\ndue: today", "topic: order\ndue: never", "topic: sale\ndue: soon")
    return add_examples(
        rows=[*rows(), *({"messages": conversation(ASKED, one)} for one in answers)]
    )


def test_every_missing_point_is_explained(as_viewer, url, add_examples):
    call = {"messages": conversation("Call +49 30 901820", pair(0)[1])}
    add_examples(rows=[*rows(), *rows(3), call])
    page = compact(as_viewer.get(url("checks:health")))
    assert '<p class="score">85' in page
    assert "−10" in page
    assert "3 examples repeat others" in page
    assert "−5" in page
    assert "<mark>+49 30 901820</mark>" in page
    assert "<form" not in page.partition('id="personal"')[2].partition("</section>")[0]


def test_page_shows_the_most_useful_next_step(as_owner, url, add_examples):
    add_examples(rows=[*rows(), *rows(3)])
    page = as_owner.get(url("checks:health")).content.decode()
    helps = page.partition("What would help most next")[2].partition("</section>")[0]
    assert "3 examples repeat others" in helps
    reply = as_owner.post(
        url("checks:fix", check_name="duplicates"), {"from": "health"}, follow=True
    )
    page = reply.content.decode()
    assert reply.redirect_chain[-1][0] == url("checks:health")
    assert "Done: 3 examples changed." in page
    assert "Undo" in page
    assert '<p class="score">100' in page
    assert "Nothing stands out" in page


def test_next_step_with_few_examples_is_to_add_more(as_owner, goal, url, add_examples):
    add_examples(60)
    page = as_owner.get(url("checks:health")).content.decode()
    helps = page.partition("What would help most next")[2].partition("</section>")[0]
    assert "More examples: you have 60." in helps
    assert reverse("imports:add", args=[goal.pk]) in helps


def test_charts_have_a_text_description(as_owner, url, add_examples):
    add_examples(120)
    page = as_owner.get(url("checks:health")).content.decode()
    assert "Lengths of the examples: half have up to" in page
    assert "How often each “topic” is shown" in page
    assert "English" in page


def test_contradiction_is_resolved_and_undone(as_owner, url, contradicting):
    dataset = contradicting
    page = as_owner.get(url("checks:health")).content.decode()
    assert page.count("This is right") == 3
    right = dataset.examples.get(answer__startswith="topic: order")
    reply = as_owner.post(url("checks:choose"), {"right": right.pk}, follow=True)
    assert "Kept the answer of No. 122. The others are set aside." in reply.content.decode()
    aside = dataset.examples.filter(status=Status.SET_ASIDE)
    assert {row.answer[:9] for row in aside} == {"topic: re", "topic: sa"}
    assert not dataset.findings.filter(check_name="contradictions").exists()
    as_owner.post(url("undo", edit_id=dataset.edits.latest("pk").pk))
    assert dataset.findings.filter(check_name="contradictions").exists()


def test_row_outside_the_contradiction_cannot_be_chosen(as_owner, url, contradicting):
    other = contradicting.examples.get(number=1)
    for right in ("", "x", str(other.pk), "999999999"):
        assert as_owner.post(url("checks:choose"), {"right": right}).status_code == 409
    assert not Example.objects.filter(status=Status.SET_ASIDE).exists()


def test_leaking_prompts_are_shown_side_by_side(as_owner, url, add_examples):
    examples = [{**row, "split": "train"} for row in rows()]
    for row in examples[:30]:
        row["split"] = "test"
    leak = {"messages": conversation(pair(3)[0] + " Thanks", pair(3)[1]), "split": "train"}
    add_examples(rows=[*examples, leak])
    page = compact(as_owner.get(url("checks:health")))
    leakage = page.partition('id="leakage"')[2].partition("</section>")[0]
    assert leakage.index("No. 4</a>· test") < leakage.index("No. 121</a>· training")


def test_empty_dataset(as_owner, url, dataset):
    page = as_owner.get(url("checks:health")).content.decode()
    assert "There are no approved examples yet" in page


def test_only_editors_may_choose(as_owner, as_viewer, as_stranger, url, contradicting):
    right = contradicting.examples.latest("number").pk
    assert as_viewer.post(url("checks:choose"), {"right": right}).status_code == 403
    assert as_stranger.post(url("checks:choose"), {"right": right}).status_code == 404
    assert as_owner.get(url("checks:choose")).status_code == 405
    assert as_stranger.get(url("checks:health")).status_code == 404
    assert not Example.objects.filter(status=Status.SET_ASIDE).exists()
