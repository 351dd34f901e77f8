"""Feedback from a program and from pages, and dataset rows made from bad answers."""

import json

import pytest
from django.urls import reverse

from finetune_app.api_keys import services as api_keys
from finetune_app.datasets.models import Example, Status, Suggestion
from finetune_app.datasets.services import add_example, dataset_of
from finetune_app.guide import progress
from finetune_app.labelling import answers, suggestions
from finetune_app.monitoring import retraining
from finetune_app.request_log import feedback, recording, redactor, retention
from finetune_app.request_log.models import Feedback, Request, Transcript
from tests.example_rows import conversation
from tests.journey import evaluated


@pytest.fixture
def key(live, team, owner):
    """(row, text)"""
    return api_keys.create_key(team=team, by=owner, name="the mailbox", deployment=live)


@pytest.fixture
def storing(live, owner):
    return retention.change(deployment=live, by=owner, on=True)


@pytest.fixture
def ask(live, key):
    """ask(text) stores a request as the API does."""

    def record(text: str = "My pump leaks", **facts) -> Request:
        given = {"status": 200, "seconds": 0.5, "reply_id": f"chatcmpl-{Request.objects.count()}"}
        return recording.record(
            key=key[0],
            deployment=live,
            release=live.current,
            model=live.name,
            prompt_tokens=9,
            tokens=3,
            answer="order_status",
            messages=[{"role": "user", "content": text}],
            **given | facts,
        )

    return record


@pytest.fixture
def dataset_row(live, owner) -> Example:
    """An approved example of the deployment's goal."""
    example, _edit = add_example(
        dataset=dataset_of(live.goal),
        by=owner,
        messages=conversation("Do you hire bikes out?", "hire"),
    )
    return example


def send(client, text, **given):
    return client.post(
        reverse("gateway:feedback"),
        json.dumps(given),
        content_type="application/json",
        headers={"Authorization": f"Bearer {text}"},
    )


def test_a_program_sends_a_rating(ask, key, client):
    request = ask()
    reply = send(client, key[1], id=request.reply_id, rating="up", comment="fine")
    assert reply.json() == {
        "object": "feedback",
        "id": request.reply_id,
        "rating": "up",
        "kept": ["rating"],
    }  # no texts are stored here, so no comment is
    found = Feedback.objects.get()
    assert (found.rating, found.comment, found.release) == (1, "", request.release)


def test_comments_are_stored_redacted_where_texts_are(ask, key, storing, client):
    request = ask()
    reply = send(
        client,
        key[1],
        completion_id=request.reply_id,
        rating=-1,
        comment="Mail ann@kettle-lane.co.uk",
        expected="repair_status",
    )
    assert reply.json()["kept"] == ["rating", "comment", "expected"]
    found = Feedback.objects.get()
    assert (found.comment, found.expected) == ("Mail [email]", "repair_status")


def test_a_second_rating_replaces_the_first(ask, key, client):
    request = ask()
    for rating in ("down", "up"):
        send(client, key[1], request_id=request.reply_id, rating=rating)
    assert Feedback.objects.get().rating == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"rating": "up"}, 400),
        ({"id": "chatcmpl-0"}, 400),
        ({"id": "chatcmpl-0", "rating": 2}, 400),
        ({"id": "chatcmpl-0", "rating": True}, 400),
        ({"id": "no-such", "rating": 1}, 404),
        ({"id": "", "rating": 1}, 400),
        ({"id": ["x"], "rating": 1}, 400),
        ({"id": "chatcmpl-0", "rating": 1, "comment": 5}, 400),
    ],
)
def test_invalid_feedback_is_refused_by_name(ask, key, client, given, status):
    ask()
    reply = send(client, key[1], **given)
    assert reply.status_code == status
    assert reply.json()["error"]["param"] in ("rating", "id", "comment")
    assert not Feedback.objects.exists()


def test_a_key_can_rate_only_answers_of_its_team(ask, stranger, client):
    request = ask()
    theirs = stranger.teams.get()
    _row, text = api_keys.create_key(team=theirs, by=stranger, name="x")
    assert send(client, text, id=request.reply_id, rating=1).status_code == 404
    assert send(client, "ft-no-key", id=request.reply_id, rating=1).status_code == 401


def test_a_key_for_one_deployment_can_rate_only_its_answers(ask, live, team, owner, client):
    request = ask()
    Request.objects.filter(pk=request.pk).update(deployment=None)
    _row, text = api_keys.create_key(team=team, by=owner, name="x", deployment=live)
    assert send(client, text, id=request.reply_id, rating=1).status_code == 404
    _row, whole = api_keys.create_key(team=team, by=owner, name="y")
    assert send(client, whole, id=request.reply_id, rating=1).status_code == 200


def test_a_key_without_chat_cannot_send_feedback(ask, team, owner, client):
    request = ask()
    _row, text = api_keys.create_key(team=team, by=owner, name="x", actions=["files"])
    assert send(client, text, id=request.reply_id, rating=1).status_code == 403
    _row, spent = api_keys.create_key(team=team, by=owner, name="y", tokens_per_month=0)
    assert send(client, spent, id=request.reply_id, rating=1).status_code == 200


def test_rate_on_the_page(ask, as_viewer, url):
    request = ask()
    thumb = url("request_log:rate", request_id=request.pk)
    as_viewer.post(thumb, {"rating": "down"})
    assert Feedback.objects.get().by.name == "Vera"
    reply = as_viewer.post(thumb, {"rating": "up"}, headers={"HX-Request": "true"})
    assert reply.content.decode().count('aria-pressed="true"') == 1
    assert Feedback.objects.get().rating == 1
    as_viewer.post(thumb, {"rating": "up"})  # the same again withdraws it
    assert not Feedback.objects.exists()
    assert as_viewer.post(thumb, {"rating": "sideways"}).status_code == 400


def test_what_a_viewer_says_changes_no_dataset(ask, storing, as_viewer, as_editor, url):
    retention.change(deployment=storing.deployment, by=storing.by, on=True, queues=True)
    request, before = ask(), Example.objects.count()
    thumb = url("request_log:rate", request_id=request.pk)
    as_viewer.post(thumb, {"rating": "down"})
    as_viewer.post(thumb, {"rating": "correct", "expected": "repair_status"})
    assert Example.objects.count() == before
    as_editor.post(url("request_log:queue_all"))
    suggested = Suggestion.objects.get()
    assert suggested.answer == "repair_status"
    part = as_viewer.post(
        thumb, {"rating": "correct", "expected": "pickup"}, headers={"HX-Request": "true"}
    )
    assert "as a suggestion" not in part.text
    assert Suggestion.objects.get() == suggested


def test_while_texts_cannot_be_redacted_what_was_said_before_stays(
    ask, key, storing, client, as_viewer, url, monkeypatch
):
    request = ask()
    said = {"id": request.reply_id, "rating": "down", "comment": "Too short.", "expected": "pickup"}
    send(client, key[1], **said)
    monkeypatch.setattr(redactor.redactor, "redact", fails)
    refused = send(client, key[1], **said | {"comment": "Too long."})
    assert (refused.status_code, refused.json()["error"]["message"][-10:]) == (503, "Try again.")
    kept = Feedback.objects.get()
    assert (kept.comment, kept.expected) == ("Too short.", "pickup")
    as_viewer.post(url("request_log:rate", request_id=request.pk), {"rating": "up"})
    kept.refresh_from_db()
    assert (kept.rating, kept.comment, kept.expected) == (1, "Too short.", "pickup")


def fails(texts):
    raise redactor.RedactionFailed


def test_the_playground_rates_by_reply_id(ask, storing, goal, as_editor, url):
    retention.change(deployment=storing.deployment, by=storing.by, on=True, queues=True)
    request, before = ask(), Example.objects.count()
    thumb = url("request_log:rate_reply", reply_id=request.reply_id)
    part = as_editor.post(thumb, {"rating": "down"}, headers={"HX-Request": "true"})
    assert "What should it have said?" in part.content.decode()
    assert Example.objects.count() == before + 1
    part = as_editor.post(
        thumb, {"rating": "correct", "expected": "repair_status"}, headers={"HX-Request": "true"}
    ).content.decode()
    example = Transcript.objects.get().example
    assert f"as a suggestion for {example}" in part
    assert Suggestion.objects.get(example=example).answer == "repair_status"
    assert Feedback.objects.get().by.name == "Jonas"
    as_editor.post(thumb, {"rating": "down"})  # the same again withdraws it
    assert not Feedback.objects.exists()


def test_a_correction_keeps_the_answer_as_the_worse_one(ask, storing, owner, as_editor, url):
    request = ask()
    thumb = url("request_log:rate", request_id=request.pk)
    as_editor.post(thumb, {"rating": "correct", "expected": "repair_status"})
    example, _new = feedback.add_to_queue(transcript=request.transcript, by=owner)
    example.refresh_from_db()
    assert (example.status, example.rejected) == (Status.PENDING, "order_status")
    assert "the worse answer" in as_editor.post(
        thumb, {"rating": "correct", "expected": "pickup"}, headers={"HX-Request": "true"}
    ).content.decode().replace("\n", " ")
    answers.answer_row(example=example, by=owner, text="repair_status", seen=None)
    example.refresh_from_db()
    assert (example.answer, example.rejected) == ("repair_status", "order_status")


def test_the_labeller_may_find_that_the_answer_was_right(ask, storing, owner):
    request = ask()
    feedback.give(request=request, rating=-1, expected="repair_status")
    example, _new = feedback.add_to_queue(transcript=request.transcript, by=owner)
    example.refresh_from_db()
    answers.answer_row(example=example, by=owner, text="order_status", seen=None)
    example.refresh_from_db()
    assert (example.answer, example.rejected) == ("order_status", "")


def test_a_thumb_alone_and_an_answered_row_make_no_pair(ask, storing, owner, dataset_row):
    request = ask()
    feedback.give(request=request, rating=-1)
    example, _new = feedback.add_to_queue(transcript=request.transcript, by=owner)
    request = ask(dataset_row.prompt)
    feedback.give(request=request, rating=-1, expected="something else")
    same, is_new = feedback.add_to_queue(transcript=request.transcript, by=owner)
    assert (same, is_new) == (dataset_row, False)
    for row in (example, dataset_row):
        row.refresh_from_db()
        assert row.rejected == ""


def test_a_dismissed_correction_is_not_suggested_again(ask, storing, owner, as_editor, url):
    request = ask()
    thumb = url("request_log:rate", request_id=request.pk)
    as_editor.post(thumb, {"rating": "correct", "expected": "repair_status"})
    example, _new = feedback.add_to_queue(transcript=request.transcript, by=owner)
    suggestions.dismiss_suggestions(example=example)
    as_editor.post(thumb, {"rating": "correct", "expected": "repair_status"})
    assert suggestions.visible_suggestion(example) is None
    as_editor.post(thumb, {"rating": "correct", "expected": "pickup"})
    assert suggestions.visible_suggestion(example).answer == "pickup"


def test_without_stored_texts_there_is_no_correction(ask, as_viewer, url):
    request = ask()
    reply = as_viewer.post(
        url("request_log:rate_reply", reply_id=request.reply_id),
        {"rating": "down"},
        headers={"HX-Request": "true"},
    )
    assert "What was said is not kept here" in reply.content.decode()
    page = as_viewer.get(url("request_log:request", request_id=request.pk)).content.decode()
    assert "What should it have said?" not in page


def test_only_successful_answers_of_the_goal_can_be_rated(ask, as_viewer, as_stranger, url):
    request = ask()
    thumb = url("request_log:rate_reply", reply_id=request.reply_id)
    assert as_stranger.post(thumb, {"rating": "up"}).status_code == 404
    assert as_viewer.get(thumb).status_code == 405
    assert as_viewer.post(thumb, {"rating": "sideways"}).status_code == 400
    failed = ask(status=503, error="model_failed")
    for reply_id in (failed.reply_id, "no-such-answer"):
        gone = as_viewer.post(url("request_log:rate_reply", reply_id=reply_id), {"rating": "up"})
        assert gone.status_code == 404
    Request.objects.filter(pk=request.pk).update(deployment=None)
    assert as_viewer.post(thumb, {"rating": "up"}).status_code == 404
    assert not Feedback.objects.exists()


def test_feedback_is_in_the_figures(ask, as_viewer, url):
    for rating in (1, 1, -1):
        feedback.give(request=ask(), rating=rating)
    context = as_viewer.get(url("monitoring:page")).context
    assert (context["up"], context["down"]) == (2, 1)
    assert "feedback" in context["charts"]


def test_a_bad_answer_becomes_a_pending_row(ask, storing, goal, as_editor, as_viewer, url):
    request = ask("My pump leaks, mail ann@kettle-lane.co.uk")
    feedback.give(request=request, rating=-1, expected="repair_status")
    assert as_viewer.post(url("request_log:add_to_queue", request_id=request.pk)).status_code == 403
    as_editor.post(url("request_log:add_to_queue", request_id=request.pk))
    example = Example.objects.latest("pk")
    assert example.status == Status.PENDING
    assert example.messages == [{"role": "user", "content": "My pump leaks, mail [email]"}]
    assert example.source == "in use: sort-shop-emails, version 1"
    assert Suggestion.objects.get(example=example).answer == "repair_status"
    before = Example.objects.count()
    as_editor.post(url("request_log:add_to_queue", request_id=request.pk))
    assert Example.objects.count() == before


def test_the_same_question_makes_one_row(ask, storing, live, as_editor, url):
    before = Example.objects.count()
    for _turn in range(3):
        feedback.give(request=ask(), rating=-1)
    feedback.give(request=ask("Fine"), rating=1)
    assert feedback.bad_answers(live).count() == 3
    reply = as_editor.post(url("request_log:queue_all"))
    assert reply.url == reverse("labelling:start", kwargs={"goal_id": live.goal_id})
    assert Example.objects.count() == before + 1
    assert not feedback.bad_answers(live).exists()


def test_no_more_is_promised_than_one_click_does(ask, storing, live, as_editor, url, monkeypatch):
    monkeypatch.setattr(feedback, "MAX_ROWS_AT_ONCE", 2)
    for n in range(3):
        feedback.give(request=ask(f"Question {n}"), rating=-1)
    page = as_editor.get(url("request_log:page")).content.decode()
    assert "More than 2 answers were not good" in page
    assert "Correct 2 answers" in page
    as_editor.post(url("request_log:queue_all"))
    assert "1 answer was not good" in as_editor.get(url("request_log:page")).content.decode()


def test_bad_answers_are_queued_automatically_where_switched_on(ask, live, owner):
    retention.change(deployment=live, by=owner, on=True, queues=True, least_confidence=0.5)
    before = Example.objects.count()
    feedback.give(request=ask(), rating=-1)
    ask("Sure of it", confidence=-0.1)
    ask("Nobody knows how sure")
    unsure = ask("Unsure of it", confidence=-2.0)
    assert Example.objects.count() == before + 2
    assert Transcript.objects.get(request=unsure).example.prompt == "Unsure of it"


def test_bad_answers_are_only_offered_elsewhere(ask, live, owner):
    retention.change(deployment=live, by=owner, on=True, least_confidence=0.5)
    before = Example.objects.count()
    feedback.give(request=ask(), rating=-1)
    ask("Unsure of it", confidence=-2.0)
    assert Example.objects.count() == before
    assert feedback.bad_answers(live).count() == 2


def test_the_answers_that_are_counted_as_bad_are_those_that_are_shown(ask, live, owner, as_viewer):
    retention.change(deployment=live, by=owner, on=True, least_confidence=0.5)
    down, unsure, corrected = ask(), ask("Unsure of it", confidence=-2.0), ask("Corrected")
    ask("Fine")
    for request in (down, corrected):
        feedback.give(request=request, rating=-1)
    feedback.add_to_queue(transcript=corrected.transcript, by=owner)
    page = reverse("request_log:page", args=[live.goal_id])
    assert "2 answers were not good" in as_viewer.get(page).text
    shown = as_viewer.get(page, {"thumbs": "bad"}).context["page"].requests
    assert {one.pk for one in shown} == {down.pk, unsure.pk}


def test_enough_new_examples_suggest_training_again(
    tuned, live, owner, as_viewer, url, monkeypatch
):
    evaluated(tuned, owner)
    goal = tuned.goal
    monkeypatch.setattr(retraining, "ENOUGH_EXAMPLES", 2)
    (found,) = progress.progress_of([goal])
    assert found.live
    assert found.new_examples is None
    assert found.next.step == 5
    changed = list(Example.objects.all()[:2])
    for example in changed:
        example.save()  # after the version was made
    page = as_viewer.get(url("page")).content.decode()
    assert "2 new examples since version 1." in page
    (found,) = progress.progress_of([goal])
    assert found.new_examples == retraining.NewExamples(2, 1)
    assert found.next.label == "Train again"
    assert found.next.state == "Live. 2 new examples since version 1."
