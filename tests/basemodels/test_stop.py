"""Stopping an install, which can be continued."""

from finetune_app.jobs.models import Job, State


def test_a_queued_install_stops_and_can_continue(install, as_editor, url):
    made = install()
    assert as_editor.post(url("stop", made.pk)).url == url("page")
    assert Job.objects.get().state == State.STOPPED
    page = as_editor.get(url("page")).content.decode()
    assert url("continue", made.pk) in page
    assert url("stop", made.pk) not in page


def test_a_running_install_is_asked_to_stop(install, as_owner, url):
    made = install()
    Job.objects.update(state=State.RUNNING)
    as_owner.post(url("stop", made.pk))
    assert Job.objects.get().state == State.STOPPING
    assert Job.objects.get().stop_asked


def test_viewers_and_strangers_may_not(install, as_viewer, as_stranger, as_owner, url):
    made = install()
    assert as_viewer.post(url("stop", made.pk)).status_code == 403
    assert as_stranger.post(url("stop", made.pk)).status_code == 404
    assert as_owner.get(url("stop", made.pk)).status_code == 405
    assert Job.objects.get().state == State.QUEUED
