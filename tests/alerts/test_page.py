"""The page of alerts: owner, editor, viewer, other team."""

from django.core import mail

from finetune_app.alerts.models import Notice, Rule, Watch
from finetune_app.core.encryption import decrypt
from tests.alerts.conftest import people


def given(*members, **changes):
    return {
        "errors_on": "on",
        "errors": "3",
        "slow": "10",
        "budget": "1000",
        "people": people(*members),
        "webhook": "",
        "quiet_from": "",
        "quiet_to": "",
        "zone": "Europe/Paris",
    } | changes


def test_an_editor_says_who_hears_of_what(as_editor, live, editor, url):
    assert as_editor.post(url(), given(editor, quiet_from=22, quiet_to=7)).status_code == 302
    watch = Watch.objects.get()
    assert list(watch.people.all()) == [editor]
    assert (watch.quiet_from, watch.quiet_to, watch.zone) == (22, 7, "Europe/Paris")
    assert Rule.objects.get(on=True).limit == 3
    page = as_editor.get(url()).content.decode()
    assert 'value="3"' in page
    assert "One thing is watched" in as_editor.get(url().replace("alerts/", "")).content.decode()


def test_a_new_webhook_shows_its_secret_once(as_editor, live, editor, receiver, url):
    reply = as_editor.post(url(), given(editor, webhook=receiver.url))
    secret = decrypt(Watch.objects.get().secret)
    assert secret in reply.content.decode()
    assert reply["Cache-Control"] == "no-store"
    assert secret not in as_editor.get(url()).content.decode()


def test_what_makes_no_sense_is_said_beside_its_field(as_editor, live, editor, url):
    for changes, words in (
        ({"errors": ""}, "from which number"),
        ({"quiet_from": 3}, "a beginning and an end"),
        ({"zone": "Mars"}, "Europe/Paris"),
        ({"webhook": "http://127.0.0.1/"}, "https"),
        ({"errors": "-1"}, "greater than or equal"),
    ):
        reply = as_editor.post(url(), given(editor, **changes))
        assert reply.status_code == 422
        assert words in reply.content.decode()
    assert not Rule.objects.filter(on=True).exists()


def test_send_a_test(as_editor, watch, receiver, url, owner):
    as_editor.post(url(), given(owner, webhook=receiver.url))
    page = as_editor.post(url("try"), follow=True).content.decode()
    assert "The test by e-mail was sent." in page
    assert "The test by webhook was sent." in page
    assert receiver.bodies[0]["event"] == "try"
    assert len(mail.outbox) == 1
    receiver.status = 500
    assert "answered with 500" in as_editor.post(url("try"), follow=True).content.decode()


def test_a_test_to_nobody_says_so(as_editor, live, url):
    assert as_editor.post(url("try")).status_code == 400
    assert not Notice.objects.exists()


def test_a_viewer_looks_and_a_stranger_does_not(as_viewer, as_stranger, live, viewer, url):
    assert "An editor of your team" in as_viewer.get(url()).content.decode()
    assert as_viewer.post(url(), given(viewer)).status_code == 403
    assert as_viewer.post(url("try")).status_code == 403
    assert as_stranger.get(url()).status_code == 404
    assert as_stranger.post(url(), given()).status_code == 404
    assert as_viewer.put(url()).status_code == 405


def test_before_anything_is_live_there_is_nothing_to_watch(as_editor, goal, url):
    assert as_editor.get(url()).status_code == 404
