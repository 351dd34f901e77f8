"""Keys under attack: of another team, of one deployment, revoked, expired, or sent elsewhere."""

from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.models import Deployment
from finetune_app.goals.models import Goal
from finetune_app.request_log.models import Request
from tests.journey import install
from tests.security.api import CHAT, HELLO, checked


@pytest.mark.django_db  # also what makes pytest-django set the database up, for the whole file
def test_without_a_key_there_is_nothing_to_see(client):
    for path in ("models", "files", "fine_tuning/jobs", "nothing", "models/shop-mail"):
        assert client.get(f"/v1/{path}").status_code == 401, path


def test_a_stranger_s_key_finds_nothing_of_ours(ask, site):
    """IDOR in the API: every id of one team, asked for with the key of another."""
    form = {"files": {"file": ("x.jsonl", b"{}\n")}, "data": {"purpose": "fine-tune"}}
    file = ask("POST", "/files", **form).json()["id"]
    wanted = {"model": "starter", "training_file": file}
    job = ask("POST", "/fine_tuning/jobs", json=wanted).json()["id"]
    _key, text = site.key(theirs=True)
    Deployment.objects.filter(team=site.theirs.team).update(name="theirs")
    for method, path in [
        ("GET", "/models/shop-mail"),
        ("GET", f"/files/{file}"),
        ("DELETE", f"/files/{file}"),
        ("GET", f"/files/{file}/content"),
        ("GET", f"/fine_tuning/jobs/{job}"),
        ("GET", f"/fine_tuning/jobs/{job}/events"),
        ("POST", f"/fine_tuning/jobs/{job}/cancel"),
        ("GET", f"/fine_tuning/jobs/{job}/checkpoints"),
    ]:
        assert ask(method, path, text).status_code == 404, path
    assert ask("POST", CHAT, text, json=HELLO).status_code == 404
    assert ask("POST", "/fine_tuning/jobs", text, json=wanted).status_code == 404
    for path in ("/files", "/fine_tuning/jobs"):
        assert ask("GET", path, text).json()["data"] == []
    assert ask("GET", f"/files/{file}").status_code == 200


def test_a_stranger_judges_no_answer_of_ours(ask, site):
    """IDOR by the id of an answer, which programs write into their own logs."""
    Request.objects.filter(team=site.ours.team, status=200).update(reply_id="chatcmpl-ours")
    judged = {"id": "chatcmpl-ours", "rating": "down", "comment": "Bad."}
    _key, stranger = site.key(theirs=True)
    _key, narrow = site.key(deployment=site.theirs.goal.deployment)
    for text in (stranger, narrow):
        assert ask("POST", "/feedback", text, json=judged).status_code == 404
    assert ask("POST", "/feedback", json=judged).status_code == 200


def test_a_team_s_own_base_model_is_nobody_else_s(ask, site):
    """A base model that is not re-authorised behind a name (Open WebUI 2026-44555)."""
    secret = install("their-secret", team=site.theirs.team).slug
    assert ask("POST", CHAT, json=HELLO | {"model": secret}).status_code == 404
    assert secret not in ask("GET", "/models").text
    form = {"files": {"file": ("x.jsonl", b"{}\n")}, "data": {"purpose": "fine-tune"}}
    file = ask("POST", "/files", **form).json()["id"]
    wanted = {"model": secret, "training_file": file}
    assert ask("POST", "/fine_tuning/jobs", json=wanted).status_code == 400
    assert not Goal.objects.filter(base_choice__base_model__slug=secret).exists()


def test_a_key_of_one_deployment_opens_no_other(ask, site):
    team = site.ours.team
    goal = Goal.objects.create(team=team, name="Other", description="Other.")
    other = Deployment.objects.create(team=team, goal=goal, name="other-mail")
    _key, text = site.key(deployment=other)
    for name in ("shop-mail", "starter"):
        assert ask("POST", CHAT, text, json=HELLO | {"model": name}).status_code == 404
        assert ask("GET", f"/models/{name}", text).status_code == 404
        asked = {"model": name, "prompt": "Hi"}
        assert ask("POST", "/completions", text, json=asked).status_code == 404
    assert [one["id"] for one in ask("GET", "/models", text).json()["data"]] == ["other-mail"]
    for path in ("/files", "/fine_tuning/jobs", "/files/file-0", "/fine_tuning/jobs/ftjob-0"):
        assert ask("GET", path, text).status_code == 403


def test_a_revoked_and_an_expired_key_read_alike(ask, site):
    """And like one that never was, so that nobody learns which prefixes exist."""
    old, expired = site.key(days=1)
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    gone, revoked = site.key()
    api_keys.revoke_key(key=gone)
    unknown = f"ft-{old.prefix}-{'x' * 43}"
    said = [ask("POST", CHAT, text, json=HELLO) for text in (expired, revoked, unknown, "ft-0-0")]
    assert {reply.status_code for reply in said} == {401}
    assert len({reply.text for reply in said}) == 1


def test_a_key_shown_in_another_way_opens_nothing(site):
    _key, text = site.key()
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {text}"},
        {"X-Api-Key": text},
        {"Cookie": f"key={text}"},
        {"Authorization": f"Bearer {text} {text}"},
        {"Authorization": "Bearer ft-\xff\xff-\xe9"},
        {"Authorization": "Bearer " + "x" * 7000},
    ):
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        reply = checked(httpx.get(f"{site.address}/models?api_key={text}", headers=sent))
        assert reply.status_code == 401, headers
