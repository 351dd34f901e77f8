"""The engine is told whose request it is: callers take turns, and share no prompts."""

from finetune_app.api_keys import services as api_keys
from finetune_app.candidates import inference
from finetune_app.candidates import services as candidates

HELLO = [{"role": "user", "content": "Hello"}]


def test_each_key_is_a_caller(live, key, client, said, team, owner):
    other, secret = api_keys.create_key(team=team, by=owner, name="another program")
    for asking in (client, client, client.with_options(api_key=secret)):
        asking.chat.completions.create(model=live.name, messages=HELLO)
    callers = [one["caller"] for one in said["asked"]]
    assert callers[0] == callers[1] == f"key {key[0].pk}"
    assert callers[2] == f"key {other.pk}"


def test_on_the_pages_each_goal_is_a_caller(live, goal):
    candidate = candidates.tuned_candidate(training=goal.trainings.get())
    assert inference.request_for(candidate).caller == f"goal {goal.pk}"
