"""A canary, through the API."""

from finetune_app.candidates import services as candidates
from finetune_app.deployment import services
from finetune_app.deployment.canary import includes
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import ask


def test_each_logged_request_names_its_version(client, live, owner, key):
    base = candidates.base_candidate(goal=live.goal, base_model=live.current.candidate.base_model)
    canary = services.start_canary(deployment=live, candidate=base, percent=50, by=owner)
    users = {True: "", False: ""}
    for n in range(40):
        users[includes(canary, f"{key[0].pk}:user {n}")] = str(n)
    for user in users.values():
        client.chat.completions.create(
            model=live.name,
            messages=[{"role": "user", "content": "Hello"}],
            max_tokens=2,
            user=user,
        )
    seen = {one.release.number: one.status for one in Request.objects.select_related("release")}
    assert seen == {1: 200, 2: 200}
    assert ask(client)
