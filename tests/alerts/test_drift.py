"""Told when it is asked other things than it learned from."""

import pytest

from finetune_app.alerts import rules
from finetune_app.alerts.models import Notice
from finetune_app.jobs.models import Job, State
from finetune_app.monitoring.models import DriftCheck
from tests.alerts.conftest import change, look
from tests.journey import freeze


@pytest.fixture
def compared(live, owner):
    """compared(auc, drifted) is a finding of just now."""
    version = freeze(live.goal, owner)

    def find(auc: float | None, drifted: bool = True, state: str = State.SUCCEEDED) -> DriftCheck:
        job = Job.objects.create(team=live.team, kind="drift", state=state)
        return DriftCheck.objects.create(
            deployment=live, version=version, job=job, auc=auc, by_chance=0.58, drifted=drifted
        )

    return find


def test_one_alert_when_it_drifts_and_one_when_that_is_over(watch, live, compared):
    change(watch, limits={"drift": 75.0})
    compared(0.87)
    assert look(watch, 3, "drift") == ["", "raised", ""]
    assert Notice.objects.get().text == (
        "shop-mail is asked other things than it learned from: 87 of 100 pairs of a live and a "
        "learned prompt can be told apart; your limit is 75."
    )
    compared(0.55, drifted=False)
    assert look(watch, 3, "drift") == ["", "", "recovered"]
    assert "is asked what it learned again" in Notice.objects.first().text


def test_a_difference_that_chance_alone_makes_is_none(live, compared):
    """In thirty prompts luck reaches 0.7, and that is no news."""
    compared(0.7, drifted=False)
    assert rules.measure("drift", live) == 50.0


def test_no_finding_says_nothing(watch, live, compared):
    change(watch, limits={"drift": 75.0})
    assert rules.measure("drift", live) is None
    compared(None)
    compared(0.9, state=State.FAILED)
    assert rules.measure("drift", live) is None
    assert look(watch, 3, "drift") == ["", "", ""]


def test_it_can_be_ticked_on_the_page(as_editor, live, editor, url):
    page = as_editor.get(url()).content.decode()
    assert "It is asked other things than it learned from" in page
    as_editor.post(url(), {"drift_on": "on", "drift": "80", "people": [editor.pk], "zone": "UTC"})
    rule = live.watch.rules.get(what="drift")
    assert (rule.on, rule.limit) == (True, 80.0)
    for limit in ("20", "101"):
        reply = as_editor.post(url(), {"drift_on": "on", "drift": limit, "zone": "UTC"})
        assert reply.status_code == 422
