"""What is deleted leaves nothing: not in a table, not in a file, not in the database's own file.

A mark is written into every text of every row and into every folder; after the deletion it is
looked for everywhere. What belongs to others stays.
"""

import pytest
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts.models import Membership, Role, Team, User
from finetune_app.audit.models import AuditEntry
from finetune_app.batches.models import Batch, BatchRequest
from finetune_app.core.audit import AuditAction
from finetune_app.datasets.models import Label
from finetune_app.fine_tuning_api import uploads
from finetune_app.fine_tuning_api.services import save_file
from finetune_app.jobs.models import Job, State
from finetune_app.labelling.models import Draft
from finetune_app.operations.erasure import erase_traces
from tests.conftest import PASSWORD, person, signed_in
from tests.erasure.traces import (
    copy_to_store,
    files_with,
    mark_files,
    mark_rows,
    names_in_store,
    rows_with,
)
from tests.factories import World, build_world

pytestmark = pytest.mark.django_db(transaction=True)
MARK = "forget7c1e"

# Rows of the team that are not of one of its goals.
OF_THE_TEAM = frozenset(
    {
        "accounts.Invitation",
        "accounts.Membership",
        "accounts.Team",
        "accounts.User",
        "api_keys.ApiKey",
        "basemodels.HubToken",
        "batches.Batch",
        "batches.BatchRequest",
        "basemodels.Install",
        "fine_tuning_api.ApiFile",
        "fine_tuning_api.ApiUpload",
        "fine_tuning_api.ApiUploadPart",
        "hub_training.HubJobsAccount",
        "imports.SavedMapping",
        "openai_import.OpenAIImport",
        "providers.Endpoint",
        "remote_training.PlatformAccount",
    }
)


@pytest.fixture(autouse=True)
def _no_marked_files(data_dir):
    """A test that fails leaves none to the next."""
    yield
    for name in files_with(MARK):
        if "sqlite" not in name:
            (data_dir / name).unlink()


@pytest.fixture
def world(team, owner) -> World:
    """A goal that has been through everything, with jobs of each kind."""
    made = build_world(team, owner)
    dataset = made.goal.dataset
    for kind, spec in (
        ("check", {"dataset": dataset.pk}),
        ("change", {"edit": made.edit.pk}),
        ("index", {"knowledge": made.document.knowledge_id}),
        ("import", {"stored_name": made.file.stored_name}),
    ):
        Job.objects.create(team=team, kind=kind, spec=spec, state=State.SUCCEEDED)
    add_files_of_programs(team)
    return made


def add_files_of_programs(team: Team) -> None:
    """A file, an upload with one part, and a batch with a request."""
    file = save_file(
        team=team, name="a.jsonl", purpose="fine-tune", file=ContentFile(b"{}", "a.jsonl")
    )
    upload = uploads.start_upload(team=team, name="b.jsonl", size=9)
    uploads.add_part(upload=upload, data=ContentFile(b"{}", "b.jsonl"))
    batch = Batch.objects.create(
        team=team,
        job=Job.objects.create(team=team, kind="batch", state=State.SUCCEEDED),
        endpoint="/v1/embeddings",
        input_file=file,
        input_id=file.api_id,
        expires_at=timezone.now(),
    )
    BatchRequest.objects.create(batch=batch, line=1, custom_id="x", offset=0, length=2)


def mark_everything(*, but: frozenset[str] = frozenset()) -> None:
    assert mark_rows(MARK, but=but) > 100
    assert mark_files(MARK, but=but) > 10
    assert files_with(MARK)
    assert rows_with(MARK)


def assert_nothing_is_left() -> None:
    assert erase_traces()
    assert rows_with(MARK) == []
    assert files_with(MARK) == []


def counts_of(team: Team) -> dict[str, int]:
    """How many rows there are below a team's goals, and of its jobs."""
    goal = team.goals.get()
    return {
        "jobs": team.jobs.count(),
        "examples": goal.dataset.examples.count(),
        "trainings": goal.trainings.count(),
        "evaluations": goal.evaluations.count(),
        "versions": goal.dataset.versions.count(),
    }


def make_neighbour() -> Team:
    """Another team with as much, made after the mark was written everywhere."""
    team = Team.objects.create(name="Another team")
    build_world(team, person("eve@other.example", team, Role.OWNER))
    return team


def test_a_deleted_goal_leaves_nothing_and_its_neighbours_everything(world, as_owner):
    install = world.install.job
    mark_everything(but=OF_THE_TEAM | {"jobs.Job", "jobs.ChildRun"})
    of_the_goal = Job.objects.exclude(pk=install.pk).exclude(kind="batch")
    of_the_goal.update(title=MARK, message=MARK, detail=MARK)
    neighbour = make_neighbour()
    before = counts_of(neighbour)
    as_owner.post(reverse("goals:delete", args=[world.goal.pk]))
    install.delete()  # of the team, and marked in its log file alone
    assert_nothing_is_left()
    assert counts_of(neighbour) == before


def test_a_deleted_team_leaves_nothing(world, as_owner, team):
    mark_everything(but=frozenset({"accounts.User"}))
    neighbour = make_neighbour()
    before = counts_of(neighbour)
    team.refresh_from_db()
    as_owner.post(reverse("accounts:delete_team"), {"name": team.name})
    assert not Team.objects.filter(pk=team.pk).exists()
    assert_nothing_is_left()
    assert counts_of(neighbour) == before


def test_a_deleted_team_leaves_nothing_in_a_remote_store(world, as_owner, team, settings):
    mark_everything(but=frozenset({"accounts.User"}))
    memory = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
    settings.STORAGES = settings.STORAGES | memory
    assert copy_to_store(MARK) > 10
    assert names_in_store()
    team.refresh_from_db()
    as_owner.post(reverse("accounts:delete_team"), {"name": team.name})
    assert_nothing_is_left()
    assert names_in_store() == []


def test_a_person_alone_in_their_team_leaves_nothing(world, as_owner, owner):
    world.member.user.delete()
    mark_everything()
    as_owner.post(reverse("accounts:delete_account"), {"password": PASSWORD})
    assert not User.objects.exists()
    assert_nothing_is_left()


def test_a_person_leaves_nothing_of_theirs_in_a_team_that_stays(world, owner, team):
    """What they made for the team stays; their name, address, drafts and answers go."""
    leaver = person(f"{MARK}@kettle.example", team, Role.EDITOR)
    User.objects.filter(pk=leaver.pk).update(name=f"Jonas {MARK}")
    browser = signed_in(User.objects.get(pk=leaver.pk))
    browser.get(reverse("guide:home"))
    Label.objects.create(example=world.example, by=leaver, answer=MARK)
    Draft.objects.create(example=world.example, by=leaver, messages=[MARK])
    browser.post(reverse("accounts:sign_in"), {"email": leaver.email, "password": "wrong"})
    before = counts_of(team)
    browser.post(reverse("accounts:delete_account"), {"password": PASSWORD})
    assert not User.objects.filter(pk=leaver.pk).exists()
    assert_nothing_is_left()
    assert counts_of(team) == before


def test_their_sessions_end_and_their_network_addresses_go(owner, team):
    leaver = person("jonas@kettle.example", team)
    here, elsewhere = signed_in(leaver), signed_in(leaver)
    for browser in (here, elsewhere):
        browser.get(reverse("guide:home"), REMOTE_ADDR="192.0.2.77")
    here.post(
        reverse("accounts:change_password"), {"old": "no", "new": "no"}, REMOTE_ADDR="192.0.2.77"
    )
    wrong = {"email": leaver.email, "password": "no"}
    Client().post(reverse("accounts:sign_in"), wrong, REMOTE_ADDR="192.0.2.77")
    assert rows_with("192.0.2.77")
    here.post(reverse("accounts:delete_account"), {"password": PASSWORD}, REMOTE_ADDR="192.0.2.77")
    key = elsewhere.cookies["sessionid"].value
    assert not Session.objects.filter(session_key=key).exists()
    kept = AuditEntry.objects.get(action=AuditAction.PASSWORD_CHANGED)
    assert (kept.actor_id, kept.address) == (leaver.pk, "")
    erase_traces()
    assert rows_with("192.0.2.77") == []


def test_the_last_owner_of_others_is_told_and_nothing_goes(as_owner, owner, editor):
    page = as_owner.post(reverse("accounts:delete_account"), {"password": PASSWORD})
    assert page.status_code == 409
    assert "your team needs an owner" in page.content.decode()
    assert Membership.objects.filter(user=owner).exists()


def test_the_mark_would_be_found(world, team):
    """The search itself works: in a row, a file, and the bytes of the database."""
    Team.objects.filter(pk=team.pk).update(name=MARK)
    assert rows_with(MARK) == ["accounts_team.name"]
    if connection.vendor == "sqlite":
        assert any("sqlite3" in name for name in files_with(MARK))
