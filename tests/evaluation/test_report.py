"""The report of an evaluation: who gets it, what it says, and that it stands alone."""

import html
import io
import re
from collections import Counter
from collections.abc import Callable

import pytest
from django.urls import reverse
from pypdf import PdfReader

from finetune_app.evaluation.models import Comparison, Evaluation
from finetune_app.evaluation.report import examples, pdf
from finetune_app.evaluation.votes import services as votes
from finetune_app.evaluation.votes import voters
from tests import journey
from tests.evaluation.test_view_verdict import fill
from tests.evaluation.votes.ballot_papers import choose, real_indexes
from tests.factories import World, build_world

FORMS = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}
HOSTILE = '<script>alert("x")</script> #panic("x") שלום עולם 🚲 ' + "a" * 300


@pytest.fixture
def world(team, owner) -> World:
    return build_world(team, owner)


@pytest.fixture
def evaluation(world) -> Evaluation:
    return world.evaluation


def address(evaluation: Evaluation, form: str) -> str:
    ids = {"goal_id": evaluation.goal_id, "evaluation_id": evaluation.pk, "form": form}
    return reverse("evaluation:download", kwargs=ids)


def content(client, evaluation: Evaluation, form: str) -> bytes:
    response = client.get(address(evaluation, form))
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content) if response.streaming else response.content


def plain_text(page: str) -> str:
    """The words of an HTML report, one space between them."""
    body = page.partition("</style>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def pdf_text(client, evaluation: Evaluation) -> str:
    """The words of the PDF, one space between them."""
    pages = PdfReader(io.BytesIO(content(client, evaluation, "pdf"))).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


# ---- Who ----


@pytest.mark.parametrize("form", FORMS)
def test_a_viewer_downloads_every_form(as_viewer, evaluation, form):
    response = as_viewer.get(address(evaluation, form))
    assert response.status_code == 200
    assert response["Content-Type"] == FORMS[form]
    assert response["Content-Disposition"].startswith('attachment; filename="sort-shop-emails-')


@pytest.mark.parametrize("form", FORMS)
def test_another_team_finds_nothing_and_nobody_posts(
    as_stranger, as_owner, client, evaluation, form
):
    assert as_stranger.get(address(evaluation, form)).status_code == 404
    assert as_owner.post(address(evaluation, form)).status_code == 405
    assert client.get(address(evaluation, form)).status_code == 302


def test_an_unknown_form_is_not_found(as_owner, evaluation):
    assert as_owner.get(address(evaluation, "exe")).status_code == 404


@pytest.mark.parametrize("form", FORMS)
def test_a_blind_choice_stays_blind(as_owner, owner, ballot, form):
    response = as_owner.get(address(ballot, form))
    assert response.status_code == 409
    assert "once the votes are counted" in response.content.decode()
    choose(voters.store_member(voters.member_voter(ballot, owner)), 0, "ours")
    votes.reveal(evaluation=ballot)
    assert as_owner.get(address(ballot, form)).status_code == 200


@pytest.mark.parametrize("form", FORMS)
def test_a_running_evaluation_has_nothing_to_report(as_owner, trained, owner, form):
    running = journey.begun(trained, owner)
    response = as_owner.get(address(running, form))
    assert response.status_code == 409
    assert "has not finished" in response.content.decode()


def test_without_a_verdict_there_are_the_answers_but_no_report(as_owner, evaluation):
    evaluation.verdict = {}
    evaluation.save()
    assert as_owner.get(address(evaluation, "csv")).status_code == 200
    for form in ("html", "pdf"):
        assert as_owner.get(address(evaluation, form)).status_code == 409


def test_the_page_of_the_verdict_offers_them(as_viewer, evaluation):
    page = as_viewer.get(
        f"/goals/{evaluation.goal_id}/evaluation/{evaluation.pk}/"
    ).content.decode()
    assert all(address(evaluation, form) in page for form in FORMS)


# ---- What it says ----

SAID = [
    "Sort each email.",  # the goal, in its person's words
    "Right when the answer is exactly the one you wanted",
    "Repeating the question",
    "Always the commonest answer",
    "It writes everyday English as before.",
    "Seen once",
    "Version 1",
    "Nobody picked these",
    "What this does not say",
    "collection as the examples",
    "With a good prompt",
    "Written by Finetune",
]


def test_the_page_says_all_of_it(as_viewer, evaluation):
    text = plain_text(content(as_viewer, evaluation, "html").decode())
    for said in (*SAID, evaluation.verdict["headline"], evaluation.verdict["sentence"]):
        assert said in text
    assert evaluation.version.sha256 in text


def test_the_pdf_says_the_same(as_viewer, evaluation):
    text = pdf_text(as_viewer, evaluation)
    for said in (*SAID, evaluation.verdict["headline"], evaluation.verdict["sentence"]):
        assert said in text
    assert re.search(r"1 / \d", text)


def test_each_candidate_has_its_score_with_an_interval(as_viewer, evaluation):
    total = evaluation.comparisons.count()
    page = content(as_viewer, evaluation, "html").decode()
    numbers = re.findall(r"<b>(\d+)</b> <small>(\d+) to (\d+)</small>", page)
    assert [int(value) for value, _low, _high in numbers] == [0, 1, total]
    assert all(int(low) <= int(value) <= int(high) for value, low, high in numbers)


def test_a_choice_by_people_has_a_verdict_and_no_score(as_viewer, owner, ballot):
    voter = voters.store_member(voters.member_voter(ballot, owner))
    for index in real_indexes(voter):
        choose(voter, index, "ours")
    votes.reveal(evaluation=ballot)
    text = plain_text(content(as_viewer, ballot, "html").decode())
    assert "Not knowing which was which" in text
    assert "People chose without knowing which was which" in text
    assert "gets right" not in text


def test_what_the_safety_probes_found_is_said(as_viewer, evaluation):
    leak = "It gives back personal data of 1 of 20 training rows that have any."
    evaluation.recall = {"level": "red", "sentence": leak, "rows": []}
    evaluation.refusals = {"level": "green", "sentence": "It refuses as before.", "levels": {}}
    evaluation.save()
    for text in (
        plain_text(content(as_viewer, evaluation, "html").decode()),
        pdf_text(as_viewer, evaluation),
    ):
        assert "Gives personal data back" in text
        assert text.count(leak) == 1
        assert "Nothing else moved" in text


def test_labels_are_shown_one_by_one(as_viewer, evaluation):
    fill(evaluation, 5, 4, 3)
    evaluation.comparisons.filter(index__gte=6).update(wanted="return")
    text = plain_text(content(as_viewer, evaluation, "html").decode())
    assert "Label by label Partly right counts" in text


# ---- It stands alone ----


def test_the_page_asks_for_nothing_else(as_viewer, evaluation):
    page = content(as_viewer, evaluation, "html").decode()
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe|object|embed|base)\b", page)
    assert not re.search(r"(?:href|src|action|@import)\s*=?", page.split("</style>")[1])
    assert set(re.findall(r"url\([^)]*\)", page)) <= {"url(#units-hatch)"}
    assert "http:" not in page
    assert "https:" not in page
    assert "light-dark" not in page  # old browsers do not know it


@pytest.fixture
def hostile(evaluation) -> Evaluation:
    goal = evaluation.goal
    goal.name, goal.description = HOSTILE[:90], HOSTILE
    goal.save()
    evaluation.comparisons.update(prompt=HOSTILE, wanted=HOSTILE)
    evaluation.answers.update(text=HOSTILE, why=HOSTILE[:200])
    evaluation.trivial_answers.update(text=HOSTILE)
    return Evaluation.objects.get(pk=evaluation.pk)


def test_hostile_texts_are_only_texts(as_viewer, hostile):
    page = content(as_viewer, hostile, "html").decode()
    assert "<script>" not in page
    assert HOSTILE in plain_text(page)
    text = pdf_text(as_viewer, hostile)
    assert '#panic("x")' in text
    assert hostile.verdict["headline"] in text


def test_control_characters_do_not_break_the_pdf(as_viewer, evaluation):
    evaluation.answers.update(text="bell \x07 and \x1b[31m red")
    assert "[31m red" in pdf_text(as_viewer, evaluation)


def test_a_pdf_says_where_no_font_has_a_character(as_viewer, evaluation):
    missing = "Some characters are missing"
    evaluation.answers.update(text="Привет שלום مرحبا हिन्दी ไทย 🚲")
    assert missing not in pdf_text(as_viewer, evaluation)
    evaluation.answers.update(text="\u0378")  # no character at all
    assert missing in pdf_text(as_viewer, evaluation)


def test_a_pdf_that_takes_too_long_is_refused_in_words(as_viewer, evaluation, monkeypatch):
    monkeypatch.setattr(pdf, "TIMEOUT_SECONDS", 0.01)
    response = as_viewer.get(address(evaluation, "pdf"))
    assert response.status_code == 503
    assert "print that instead" in response.content.decode()


# ---- The examples ----


@pytest.fixture
def many(evaluation) -> Callable[..., Evaluation]:
    def with_outcomes(**counts: int) -> Evaluation:
        evaluation.comparisons.all().delete()
        outcomes = [word for word, count in counts.items() for _n in range(count)]
        evaluation.comparisons.bulk_create(
            Comparison(evaluation=evaluation, index=at, prompt=f"Email {at}", outcome=word)
            for at, word in enumerate(outcomes)
        )
        return evaluation

    return with_outcomes


def outcomes_of(evaluation: Evaluation) -> Counter[str]:
    return Counter(one.outcome for one in examples.examples_of(evaluation))


def test_ten_examples_four_better_four_worse_two_the_same(many):
    assert outcomes_of(many(better=40, same=30, worse=20, open=5)) == {
        "better": 4,
        "worse": 4,
        "same": 2,
    }


def test_where_one_kind_has_too_few_the_others_fill_up(many):
    assert outcomes_of(many(better=40, same=30, worse=1)) == {"better": 7, "worse": 1, "same": 2}
    assert outcomes_of(many(same=30)) == {"same": 10}
    assert outcomes_of(many(better=1, worse=2)) == {"better": 1, "worse": 2}


def test_the_choice_depends_neither_on_the_answers_nor_on_the_order(many):
    evaluation = many(better=40, same=30, worse=20)
    chosen = examples.chosen_indexes(evaluation)
    evaluation.answers.update(text="another", passed=False)
    assert examples.chosen_indexes(evaluation) == chosen
    assert sorted(chosen) != list(range(10))  # not simply the first


def test_long_texts_are_cut_and_say_so(many):
    evaluation = many(better=1)
    evaluation.comparisons.update(prompt="word " * 1000)
    (example,) = examples.examples_of(evaluation)
    assert len(example.prompt.text) < 650
    assert "more characters" in example.prompt.cut
