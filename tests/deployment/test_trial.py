"""A version is tried with a share of the conversations, and then kept or taken back."""

import json

import pytest

from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.deployment import keys, services, trials
from finetune_app.deployment.api import models as served
from finetune_app.deployment.api.wire import read_chat
from finetune_app.deployment.models import Request
from finetune_app.deployment.monitoring import feedback
from tests.journey import trained

ASKERS = [f"asker {n}" for n in range(400)]


@pytest.fixture
def base(goal, tuned):
    return candidates.base_candidate(goal=goal, base_model=tuned.base_model)


@pytest.fixture
def trial(live, base, owner):
    """Version 2, on trial with 10 of 100."""
    return services.try_out(deployment=live, candidate=base, share=10, by=owner)


@pytest.fixture
def key(team, owner):
    return keys.make(team=team, by=owner, name="x")[0]


def those_in(trial) -> set[str]:
    return {asker for asker in ASKERS if trials.is_in(trial, asker)}


# ---- Who gets it ----


def test_about_its_share_of_those_who_ask_get_it(live, trial):
    inside = those_in(trial)
    assert 20 <= len(inside) <= 60
    asker = inside.pop()
    outside = next(one for one in ASKERS if one not in inside and one != asker)
    assert trials.release_for(live, asker) == trial
    assert trials.release_for(live, outside) == live.current


def test_a_larger_share_keeps_those_who_were_in_it(live, trial, base, owner):
    larger = services.try_out(deployment=live, candidate=base, share=50, by=owner)
    assert larger == trial
    assert those_in(trial) < those_in(larger)
    assert 150 <= len(those_in(larger)) <= 250
    assert live.releases.count() == 2


def test_the_next_trial_draws_others(live, trial, base, owner):
    services.take_back(release=trial, by=owner)
    again = services.try_out(deployment=live, candidate=base, share=10, by=owner)
    assert again.number == 3
    assert those_in(trial) != those_in(again)


def test_a_conversation_stays_with_one_version_while_it_grows(live, trial, key):
    begun = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it mine?"}]
    longer = [*begun, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Ok"}]
    askers = {asked(begun).asker, asked(longer).asker}
    assert len(askers) == 1
    assert asked(begun, user="mara").asker == asked([begun[1]], user="mara").asker
    assert asked(begun, user="mara").asker not in askers


def test_the_api_serves_what_the_hash_says(live, trial, key):
    drawn = {trials.is_in(trial, f"{key.pk}:{asker}"): asker for asker in ASKERS}
    assert served.find(key, live.name, drawn[True]).release == trial
    assert served.find(key, live.name, drawn[False]).release == live.current
    assert served.find(key, live.name).release.number == 1  # nothing tells who asks


def test_one_that_cannot_answer_leaves_it_to_the_other(live, trial, monkeypatch):
    def broken(candidate):
        raise PlainError("The documents have changed.")

    monkeypatch.setattr("finetune_app.candidates.talk.lane_of", broken)
    assert trials.release_for(live, those_in(trial).pop()) == live.current


def asked(messages, **more):
    return read_chat(json.dumps({"model": "m", "messages": messages} | more).encode())


# ---- How it ends ----


def test_from_the_page_to_everybody(goal, live, tuned, as_editor, url):
    again = trained(goal, live.current.by, weights="better weights")
    given = {"candidate": f"training-{again.number}", "share": "25"}
    assert (
        "25 % of the conversations"
        in as_editor.post(url("go_live"), given, follow=True).content.decode()
    )
    assert (live.trial.number, live.trial.share, live.current.number) == (2, 25, 1)
    page = as_editor.get(url("page")).content.decode()
    assert "Let it answer everybody" in page
    as_editor.post(url("share", number=2), {"share": "50"})
    assert live.trial.share == 50
    as_editor.post(url("everybody", number=2))
    assert (live.trial, live.current.number) == (None, 2)
    assert "Let it answer everybody" not in as_editor.get(url("page")).content.decode()


def test_two_tabs_agree_in_the_end(live, trial, as_editor, url):
    """A double click changes nothing; the other tab is told what happened meanwhile."""
    for _again in range(2):
        assert as_editor.post(url("everybody", number=2)).status_code == 302
    assert live.current.number == 2
    late = as_editor.post(url("take_back", number=2))
    assert late.status_code == 409
    assert "answers everybody by now" in late.content.decode()
    assert live.current.number == 2


def test_taken_back_it_is_over(live, trial, as_editor, url):
    for _again in range(2):
        assert as_editor.post(url("take_back", number=2)).status_code == 302
    assert (live.trial, live.current.number) == (None, 1)
    assert as_editor.post(url("everybody", number=2)).status_code == 409


def test_only_one_at_a_time_and_not_what_answers_already(
    goal, live, trial, tuned, owner, as_editor, url
):
    again = trained(goal, owner, weights="better weights")
    another = {"candidate": f"training-{again.number}", "share": "5"}
    reply = as_editor.post(url("go_live"), another)
    assert reply.status_code == 409
    assert "Version 2 is still being tried" in reply.content.decode()
    services.take_back(release=trial, by=owner)
    same = as_editor.post(url("go_live"), {"candidate": "training-1", "share": "5"})
    assert "answers everybody already" in same.content.decode()
    odd = as_editor.post(url("go_live"), another | {"share": "99"})
    assert odd.status_code == 400


def test_going_back_or_live_with_another_ends_the_trial(live, trial, owner, as_editor, url):
    as_editor.post(url("roll_back", number=1))
    assert (live.trial, live.current.number) == (None, 1)
    trial.refresh_from_db()
    assert trial.taken_back_at
    assert trial.ended_by.name == "Jonas"


def test_a_paused_one_answers_nobody_and_the_trial_waits(live, trial, key):
    services.pause(deployment=live)
    with pytest.raises(served.ApiError, match="paused"):
        served.find(key, live.name, "asker 1")
    services.resume(deployment=live)
    assert live.trial == trial


# ---- How it does ----


def test_figures_of_both_since_it_began(live, trial, team, as_viewer, url):
    seen = [(live.current, 200, 1.0), (trial, 200, 2.0), (trial, 503, 0.1), (trial, 499, 0.1)]
    for release, status, seconds in seen:
        Request.objects.create(
            team=team,
            deployment=live,
            release=release,
            model=live.name,
            status=status,
            seconds=seconds,
            tokens=5,
            prompt_tokens=10,
        )
    answered = Request.objects.filter(release=trial, status=200).get()
    feedback.give(request=answered, rating=-1)
    old, new = trials.sides(live, trial, live.current)
    assert (old.requests, old.failed, old.slow, old.tokens) == (1, 0, 1.0, 15)
    assert (new.requests, new.failed, new.slow, new.tokens) == (3, 1, 2.0, 45)
    assert (old.up, old.down, new.up, new.down) == (0, 0, 0, 1)
    page = as_viewer.get(url("page")).content.decode()
    assert "too few to tell the two apart" in page
    assert "and 1 not" in page
    assert "Let it answer everybody" not in page


def test_the_history_says_what_changed_and_how_it_went(live, trial, owner, as_viewer, url):
    services.take_back(release=trial, by=owner)
    page = as_viewer.get(url("versions")).content.decode()
    assert "The first version" in page
    assert "Without a training" in page
    assert "Tried and taken back" in page
    assert "Not evaluated." in page


def test_who_may_decide(live, trial, as_viewer, as_stranger, url):
    for name in ("share", "everybody", "take_back"):
        assert as_viewer.post(url(name, number=2), {"share": "5"}).status_code == 403
        assert as_stranger.post(url(name, number=2), {"share": "5"}).status_code == 404
    assert as_stranger.get(url("versions")).status_code == 404
    assert live.trial.share == 10
