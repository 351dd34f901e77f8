"""What a team lets Hugging Face Jobs have: a cap for the month, and a token for the containers."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.errors import PlainError
from finetune_app.hub_training import services
from finetune_app.hub_training.account import account_of, spent_this_month
from finetune_app.hub_training.models import HubJobsAccount, HubTraining
from finetune_app.hub_training.platform import HubJobs
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job, State
from finetune_app.remote_training import services as elsewhere
from tests import journey
from tests.hub.stub_hub import TOKEN
from tests.hub_training.conftest import step

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = reverse("hub_training:account")
NARROW = "hf_kettleLaneWritesRepositories"
MOST = Decimal("0.0200")  # two hours on cpu-basic
TEN_MINUTES = Decimal("0.0017")


@pytest.fixture
def capped(team) -> HubJobsAccount:
    """Enough for one training of two hours, not for two."""
    return HubJobsAccount.objects.create(team=team, spending_cap=Decimal("0.03"))


def over(training: HubTraining, seconds: int | None = 600) -> HubTraining:
    """It ran there, and is over."""
    HubTraining.objects.filter(pk=training.pk).update(
        start_tried_at=timezone.now(), stage="COMPLETED", seconds=seconds
    )
    Job.objects.filter(pk=training.job_id).update(state=State.SUCCEEDED)
    training.refresh_from_db()
    return training


def test_an_owner_sets_a_cap_and_a_token_for_jobs(as_owner, team, hub, token):
    hub.add_person(NARROW, "kettle", role="fineGrained")
    as_owner.post(PAGE, {"spending_cap": "20", "token": NARROW})
    account = account_of(team)
    assert (account.spending_cap, decrypt(account.secret)) == (20, NARROW)
    shown = as_owner.get(PAGE).text
    assert NARROW not in shown + account.secret
    assert "fine-grained token" in shown
    assert "kettle, lane" in shown


def test_an_empty_token_keeps_the_stored_one_until_it_is_given_back(as_owner, team, hub):
    HubJobsAccount.objects.create(team=team, secret=encrypt(NARROW))
    as_owner.post(PAGE, {"spending_cap": "5", "token": ""})
    assert decrypt(account_of(team).secret) == NARROW
    as_owner.post(PAGE, {"spending_cap": "", "token": "", "forget_token": "on"})
    assert (account_of(team).secret, account_of(team).spending_cap) == ("", None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"token": "hf_unknown"}, "does not accept this token"),
        ({"token": "hf_kettleReads"}, "may only read"),
        ({"token": "a b"}, "only letters, digits and signs"),
        ({"spending_cap": "0"}, "greater than or equal to 0.01"),
    ],
)
def test_what_cannot_be_is_said_and_not_stored(as_owner, hub, given, words):
    hub.add_person("hf_kettleReads", "kettle", role="read")
    reply = as_owner.post(PAGE, given)
    assert reply.status_code == 422
    assert words in reply.text
    assert not HubJobsAccount.objects.exists()


def test_others_may_not(as_editor, as_viewer, as_stranger, team):
    for client in (as_editor, as_viewer):
        assert client.get(PAGE).status_code == 403
        assert client.post(PAGE, {"spending_cap": "1"}).status_code == 403
    as_stranger.post(PAGE, {"spending_cap": "1"})  # of their own team
    assert account_of(team).spending_cap is None


def test_the_container_gets_the_token_for_jobs_alone(start, stub, team):
    HubJobsAccount.objects.create(team=team, secret=encrypt(NARROW))
    training = step(start())
    assert stub.job.given["secrets"] == {"HF_TOKEN": NARROW}
    assert NARROW not in f"{training.job.message}{training.job.detail}{training.spec}"


def test_a_log_holds_neither_token(hub, monkeypatch):
    asked = HubJobs(TOKEN, NARROW)
    monkeypatch.setattr(asked._api, "fetch_job_logs", lambda **given: [f"{TOKEN} {NARROW}"])
    assert asked.log("kettle", "job0") == "… …"


def test_nothing_starts_above_the_cap(start, stub, capped, as_editor, ready):
    over(start(), seconds=None)
    with pytest.raises(PlainError, match=r"at most 0.02, and 0.02 of 0.03 for this month are"):
        start()
    page = reverse("hub_training:launch", args=[ready.pk])
    agreed = "1, tiny-base, cpu-basic, 2, 0.0200"
    form = {"flavor": "cpu-basic", "hours": "2", "namespace": "kettle", "consent": "on"}
    assert "ask an owner for a higher cap" in as_editor.post(page, form | {"agreed": agreed}).text
    assert HubTraining.objects.count() == 1


def test_the_most_counts_until_it_is_over_then_what_its_minutes_cost(start, team, capped):
    training = start()
    assert spent_this_month(capped) == training.expected_cost == MOST
    HubTraining.objects.update(stage="RUNNING", seconds=60, start_tried_at=timezone.now())
    assert spent_this_month(capped) == MOST
    over(training, seconds=61)  # a begun minute is paid
    assert spent_this_month(capped) == Decimal("0.0003")
    assert start().expected_cost == MOST


def test_what_was_never_started_costs_nothing(start, capped):
    jobs.ask_stop(start().job)
    assert spent_this_month(capped) == 0


def test_what_was_started_last_month_does_not_count(start, capped):
    over(start())
    HubTraining.objects.update(start_tried_at=timezone.now() - timedelta(days=40))
    assert spent_this_month(capped) == 0


def test_a_training_that_is_deleted_still_counts(start, capped):
    elsewhere.delete(training=over(start()))
    capped.refresh_from_db()
    assert spent_this_month(capped) == TEN_MINUTES
    over(start())
    HubTraining.objects.get().goal.dataset.versions.get().delete()  # and the training with it
    capped.refresh_from_db()
    assert spent_this_month(capped) == 2 * TEN_MINUTES


def test_a_deleted_training_counts_before_there_is_a_cap(start, team):
    elsewhere.delete(training=over(start()))
    assert spent_this_month(account_of(team)) == TEN_MINUTES


def test_what_is_continued_keeps_the_cap(start, capped):
    first = start()
    jobs.ask_stop(first.job)
    over(start(), seconds=None)
    first.job.refresh_from_db()
    with pytest.raises(PlainError, match="for this month are spent"):
        services.resume(training=first)
    assert Job.objects.get(pk=first.job_id).state == State.STOPPED


def test_a_cap_that_was_lowered_before_it_began_is_kept(start, stub, capped):
    training = start()
    HubJobsAccount.objects.update(spending_cap=MOST / 2)
    training = step(training)
    assert training.job.state == State.FAILED
    assert "0.00 of 0.01 for this month are spent" in training.job.message
    assert not stub.jobs


def test_waiting_for_a_machine_costs_no_more_than_was_agreed(start, capped):
    assert over(start(), seconds=100_000).cost == MOST


def test_two_starts_at_once_do_not_pass_the_cap_together(
    start, capped, ready, owner, base, team, monkeypatch
):
    other = team.goals.create(name="Sort more emails", description="Sort.", created_by=owner)
    goals = [ready, journey.ready(other, owner, base)]
    both = threading.Barrier(2, timeout=2)
    create = jobs.create

    def create_together(**given):
        with suppress(threading.BrokenBarrierError):  # the other one waits for the lock
            both.wait()
        return create(**given)

    def begin(goal) -> object:
        try:
            return start(goal=goal)
        except PlainError as problem:
            return problem
        finally:
            connection.close()

    monkeypatch.setattr(jobs, "create", create_together)
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(begin, goals))
    assert {type(end) for end in ends} == {HubTraining, PlainError}
    assert HubTraining.objects.count() == 1
