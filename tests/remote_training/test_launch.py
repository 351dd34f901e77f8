"""Starting a training on a platform: what leaves, what it costs, and the agreement."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.core.errors import PlainError
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job, State
from finetune_app.remote_training import personal_data, services
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.training.services import newest_version
from finetune_app.versions import services as versions
from tests import journey, tool_rows
from tests.accounts.pages import text as text_of
from tests.remote_training.conftest import step


@pytest.fixture
def page(frozen, account) -> str:
    return reverse("remote_training:launch", args=[frozen.pk, account.pk])


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)


def agreed(goal, account, epochs=3, **fields) -> dict[str, str]:
    agreement = services.quote(account, newest_version(goal), epochs).agreement
    form = {"model": "gpt-4.1-mini", "epochs": epochs, "agreed": agreement, "consent": "on"}
    return form | fields


def test_it_says_what_leaves_where_to_and_for_how_much(as_editor, page, frozen, account):
    shown = text_of(as_editor.get(page))
    counts = newest_version(frozen).counts
    assert "What goes to 127.0.0.1" in shown
    assert f"{counts['train'] + counts['validation']} examples of version 1" in shown
    assert "at most 0.0" in shown
    assert "tokens at 5 a million" in shown


def test_more_passes_cost_more(as_editor, page, frozen, account):
    twice = as_editor.get(page, {"epochs": 6}, headers={"HX-Request": "true"})
    assert "<html" not in twice.text
    assert f'value="{services.quote(account, newest_version(frozen), 6).agreement}"' in twice.text


def test_whoever_agrees_starts_it(as_editor, page, frozen, account, editor):
    answer = as_editor.post(page, agreed(frozen, account))
    training = RemoteTraining.objects.get()
    assert answer.url == reverse("remote_training:detail", args=[frozen.pk, training.number])
    assert training.agreed_by == editor
    assert training.spec["model"] == "gpt-4.1-mini"
    assert training.expected_cost == pytest.approx(
        Decimal(training.expected_tokens) * 5 / 1_000_000, abs=Decimal("0.0001")
    )


def test_nothing_starts_without_agreement(as_editor, page, frozen, account):
    answer = as_editor.post(page, agreed(frozen, account, consent=""))
    assert answer.status_code == 422
    assert "Nothing is sent there until you agree." in answer.text
    assert not RemoteTraining.objects.exists()


def test_what_was_not_shown_is_not_agreed_to(as_editor, page, frozen, account):
    answer = as_editor.post(page, agreed(frozen, account) | {"epochs": 6})
    assert answer.status_code == 422
    assert "Read it again, then agree to that." in answer.text
    assert not RemoteTraining.objects.exists()


def test_examples_that_changed_meanwhile_are_not_sent(as_editor, page, frozen, account, owner):
    form = agreed(frozen, account)
    journey.freeze(frozen, owner, count=80)
    assert "Read it again" in as_editor.post(page, form).text


def freeze_personal(goal, owner, text="Write to mara.lane@gmail.com", split="train"):
    """Two rows of this split with an address in them, in a new version."""
    rows = goal.dataset.examples.filter(split=split)
    for row in rows[:2]:
        row.messages[0]["content"] = text
        row.save()
    versions.freeze(dataset=goal.dataset, by=owner)


def test_personal_data_needs_a_word_of_its_own(as_editor, page, frozen, account, owner):
    freeze_personal(frozen, owner)
    assert "2 examples of version 2 have personal data or secrets" in text_of(as_editor.get(page))
    answer = as_editor.post(page, agreed(frozen, account))
    assert "Hide the personal data in step 2" in answer.text
    assert not RemoteTraining.objects.exists()
    as_editor.post(page, agreed(frozen, account, personal="on"))
    assert RemoteTraining.objects.exists()


@pytest.mark.parametrize(
    "beside",
    [
        {"tool_calls": [tool_rows.call({"city": "mara.lane@gmail.com"})]},
        {"reasoning_content": "mara.lane@gmail.com asks again."},
    ],
    ids=["a call", "a thought"],
)
def test_so_does_what_lies_beside_the_texts(as_editor, page, frozen, account, owner, beside):
    row = frozen.dataset.examples.filter(split="train").first()
    row.messages[-1] |= beside
    row.tools = tool_rows.TOOLS
    row.save()
    versions.freeze(dataset=frozen.dataset, by=owner)
    assert "1 example of version 2 has personal data or a secret" in text_of(as_editor.get(page))
    assert as_editor.post(page, agreed(frozen, account)).status_code == 422
    assert not RemoteTraining.objects.exists()


def test_the_word_is_about_what_is_sent_and_not_about_today_s_examples(
    as_editor, page, frozen, owner
):
    freeze_personal(frozen, owner)
    for row in frozen.dataset.examples.all():
        row.messages[0]["content"] = "Hidden meanwhile."
        row.save()
    assert "personal data or secrets" in text_of(as_editor.get(page))  # the version has them still


def test_personal_data_in_test_rows_is_not_sent_so_it_needs_no_word(as_editor, page, frozen, owner):
    freeze_personal(frozen, owner, split="test")
    assert "personal data or" not in text_of(as_editor.get(page))


def test_what_could_not_all_be_looked_through_needs_the_word(
    as_editor, page, frozen, account, monkeypatch
):
    monkeypatch.setattr(personal_data, "MAX_CHARACTERS", 50)
    assert "more examples than could be looked through" in text_of(as_editor.get(page))
    assert as_editor.post(page, agreed(frozen, account)).status_code == 422
    assert not RemoteTraining.objects.exists()


def test_after_one_was_over_another_one_is_agreed_to_again(as_editor, page, frozen, account):
    """The back button shows the old page, with everything filled in."""
    form = agreed(frozen, account) | {"after": frozen.last_training}
    as_editor.post(page, form)
    spent(RemoteTraining.objects.get())
    answer = as_editor.post(page, form)
    assert answer.status_code == 422
    assert "was started since this page was opened" in text_of(answer)
    assert RemoteTraining.objects.count() == 1
    frozen.refresh_from_db()
    as_editor.post(page, form | {"after": frozen.last_training})
    assert RemoteTraining.objects.count() == 2


def test_somebody_else_is_told_that_one_runs_already(as_editor, as_owner, page, frozen, account):
    as_editor.post(page, agreed(frozen, account))
    answer = as_owner.post(page, agreed(frozen, account, model="larger"), follow=True)
    assert "so yours was not started" in answer.text
    assert RemoteTraining.objects.count() == 1


def test_a_second_click_is_told_nothing(as_editor, page, frozen, account):
    form = agreed(frozen, account)
    as_editor.post(page, form)
    assert "so yours was not started" not in as_editor.post(page, form, follow=True).text


def test_what_was_started_without_a_price_counts_at_today_s(start, account):
    account.price = None
    account.save()
    first = start()
    assert first.expected_cost is None
    spent(first)
    account.price = Decimal(5)
    account.save()
    cost = Decimal(first.expected_tokens) * 5 / 1_000_000
    assert services.spent_this_month(account) == cost
    services.delete(training=first)
    account.refresh_from_db()
    assert services.spent_this_month(account) == pytest.approx(cost, abs=Decimal("0.0001"))


def test_a_cap_is_kept_with_all_trainings_of_the_month(start, account):
    first = start()
    account.spending_cap = first.expected_cost * Decimal("1.5")
    account.save()
    jobs.ask_stop(first.job)  # nothing was sent, so nothing was spent
    second = start()
    RemoteTraining.objects.filter(pk=second.pk).update(start_tried_at=second.created_at)
    second.job.state = "succeeded"
    second.job.save()
    with pytest.raises(PlainError, match="for this month are spent"):
        start()


@pytest.mark.parametrize("price", [6, None])
def test_another_price_is_another_agreement(as_editor, page, frozen, account, price):
    form = agreed(frozen, account)
    account.price = price
    account.save()
    assert "Read it again, then agree to that." in as_editor.post(page, form).text
    assert not RemoteTraining.objects.exists()


@pytest.mark.parametrize("epochs", ["²", "0", "-1", "9" * 5000, "x", ""])
def test_passes_that_are_no_number_break_no_page(as_editor, page, frozen, account, epochs):
    assert as_editor.get(page, {"epochs": epochs}).status_code == 200
    assert as_editor.post(page, agreed(frozen, account) | {"epochs": epochs}).status_code == 422


def spent(training: RemoteTraining) -> None:
    """It was started there, and is over."""
    RemoteTraining.objects.filter(pk=training.pk).update(
        start_tried_at=timezone.now(), remote_state="succeeded"
    )
    Job.objects.filter(pk=training.job_id).update(state=State.SUCCEEDED)
    training.refresh_from_db()


def test_a_training_that_is_deleted_still_counts(start, account):
    first = start()
    account.spending_cap = first.expected_cost * Decimal("2.5")
    account.save()
    spent(first)
    services.delete(training=first)
    second = start()
    spent(second)
    second.goal.dataset.versions.get().delete()  # and the training with it
    account.refresh_from_db()
    assert services.spent_this_month(account) == 2 * first.expected_cost


def test_what_was_deleted_in_another_month_does_not_count(account):
    account.deleted_month, account.deleted_cost = date(2020, 1, 1), 100
    assert services.spent_this_month(account) == 0


def test_a_cap_is_kept_by_what_is_continued(start, account):
    first = start()
    account.spending_cap = first.expected_cost * Decimal("1.5")
    account.save()
    jobs.ask_stop(first.job)
    spent(start())
    first.job.refresh_from_db()
    with pytest.raises(PlainError, match="for this month are spent"):
        services.resume(training=first)


def test_a_cap_that_was_lowered_before_it_began_is_kept(start, account, platform):
    training = start()
    account.spending_cap = training.expected_cost / 2
    account.save()
    training = step(training)
    assert training.job.state == State.FAILED
    assert "0.00 of" in training.job.message
    assert not platform.jobs
    assert not platform.files


def test_what_is_continued_costs_what_was_agreed_to(start, account):
    training = start()
    jobs.ask_stop(training.job)
    training.job.refresh_from_db()
    account.price = 50
    account.save()
    with pytest.raises(PlainError, match="price has changed"):
        services.resume(training=training)


def test_what_waited_since_last_month_counts_in_this_one(start, account):
    training = start()
    RemoteTraining.objects.update(created_at=timezone.now() - timedelta(days=40))
    assert services.spent_this_month(account) == training.expected_cost


def test_a_cap_without_a_price_starts_nothing(start, account):
    account.price, account.spending_cap = None, 10
    account.save()
    with pytest.raises(PlainError, match="Enter the price"):
        start()


def test_too_few_examples_are_refused_before_they_are_sent(goal, owner, account, editor):
    journey.freeze(goal, owner, count=12)
    with pytest.raises(PlainError, match="at least 10 examples"):
        services.start(goal=goal, account=account, user=editor, model="gpt-4.1-mini")


def test_a_viewer_may_not(as_viewer, page):
    assert as_viewer.get(page).status_code == 403


def test_another_team_s_account_is_not_there(as_stranger, as_editor, stranger, page, frozen):
    assert as_stranger.get(page).status_code == 404
    theirs = stranger.memberships.get().team.platform_accounts.create(name="X", url="u", secret="s")
    assert (
        as_editor.get(reverse("remote_training:launch", args=[frozen.pk, theirs.pk])).status_code
        == 404
    )
