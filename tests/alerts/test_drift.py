"""The rule for drift: live prompts are no longer like the training prompts."""

import pytest

from finetune_app.alerts import rules
from finetune_app.alerts.models import Notice
from finetune_app.jobs.models import Job, State
from finetune_app.monitoring.models import DriftCheck
from tests.alerts.conftest import change, check
from tests.journey import freeze


@pytest.fixture
def drift_check(live, owner):
    """drift_check(auc, drifted) creates a finished drift check."""
    version = freeze(live.goal, owner)

    def create(auc: float | None, drifted: bool = True, state: str = State.SUCCEEDED) -> DriftCheck:
        job = Job.objects.create(team=live.team, kind="drift", state=state)
        return DriftCheck.objects.create(
            deployment=live, version=version, job=job, auc=auc, by_chance=0.58, drifted=drifted
        )

    return create


def test_drift_raises_the_rule_and_its_end_recovers_it(watch, live, drift_check):
    change(watch, limits={"drift": 75.0})
    drift_check(0.87)
    assert check(watch, 3, "drift") == ["", "raised", ""]
    assert Notice.objects.get().text == (
        "shop-mail is asked other things than it learned from: 87 of 100 pairs of a live and a "
        "learned prompt can be told apart; your limit is 75."
    )
    drift_check(0.55, drifted=False)
    assert check(watch, 3, "drift") == ["", "", "recovered"]
    assert "is asked what it learned again" in Notice.objects.first().text


def test_an_auc_within_chance_counts_as_50(live, drift_check):
    """With thirty prompts, chance alone reaches 0.7."""
    drift_check(0.7, drifted=False)
    assert rules.measure("drift", live) == 50.0


def test_without_a_result_the_rule_does_not_change(watch, live, drift_check):
    change(watch, limits={"drift": 75.0})
    assert rules.measure("drift", live) is None
    drift_check(None)
    drift_check(0.9, state=State.FAILED)
    assert rules.measure("drift", live) is None
    assert check(watch, 3, "drift") == ["", "", ""]


def test_switch_it_on_from_the_page(as_editor, live, editor, url):
    page = as_editor.get(url()).content.decode()
    assert "It is asked other things than it learned from" in page
    as_editor.post(url(), {"drift_on": "on", "drift": "80", "people": [editor.pk], "zone": "UTC"})
    rule = live.watch.rules.get(metric="drift")
    assert (rule.on, rule.limit) == (True, 80.0)
    for limit in ("20", "101"):
        reply = as_editor.post(url(), {"drift_on": "on", "drift": limit, "zone": "UTC"})
        assert reply.status_code == 422
