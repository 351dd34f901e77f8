"""The alerts page: settings, a test notice, permissions."""

import re

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


def test_an_editor_sets_recipients_limits_and_quiet_hours(as_editor, live, editor, url):
    assert as_editor.post(url(), given(editor, quiet_from=22, quiet_to=7)).status_code == 302
    watch = Watch.objects.get()
    assert list(watch.people.all()) == [editor]
    assert (watch.quiet_from, watch.quiet_to, watch.zone) == (22, 7, "Europe/Paris")
    assert Rule.objects.get(on=True).limit == 3
    page = as_editor.get(url()).content.decode()
    assert 'value="3"' in page
    assert "One thing is watched" in as_editor.get(url().replace("alerts/", "")).content.decode()


def test_a_new_webhook_shows_its_secret_once(as_editor, live, editor, receiver, url):
    as_editor.get(url())
    reply = as_editor.post(url(), given(editor, webhook=receiver.url))
    secret = decrypt(Watch.objects.get().secret)
    assert secret in reply.content.decode()
    assert reply["Cache-Control"] == "no-store"
    (rule,) = re.findall(r'<input[^>]* name="errors_on"[^>]*>', reply.content.decode())
    assert "checked" in rule  # its Save button would write back what the page shows
    assert secret not in as_editor.get(url()).content.decode()


def test_invalid_settings_show_an_error_at_their_field(as_editor, live, editor, url):
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


def test_send_a_test_notice(as_editor, watch, receiver, url, owner):
    as_editor.post(url(), given(owner, webhook=receiver.url))
    page = as_editor.post(url("send_test"), follow=True).content.decode()
    assert "The test by e-mail was sent." in page
    assert "The test by webhook was sent." in page
    assert receiver.bodies[0]["event"] == "try"
    assert len(mail.outbox) == 1
    receiver.status = 500
    assert "answered with 500" in as_editor.post(url("send_test"), follow=True).content.decode()


def test_without_recipients_a_test_is_refused(as_editor, live, url):
    assert as_editor.post(url("send_test")).status_code == 400
    assert not Notice.objects.exists()


def test_viewers_can_only_look_and_strangers_see_nothing(as_viewer, as_stranger, live, viewer, url):
    assert "An editor of your team" in as_viewer.get(url()).content.decode()
    assert as_viewer.post(url(), given(viewer)).status_code == 403
    assert as_viewer.post(url("send_test")).status_code == 403
    assert as_stranger.get(url()).status_code == 404
    assert as_stranger.post(url(), given()).status_code == 404
    assert as_viewer.put(url()).status_code == 405


def test_without_a_deployment_the_page_does_not_exist(as_editor, goal, url):
    assert as_editor.get(url()).status_code == 404
