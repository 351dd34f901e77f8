"""A program asks a deployment by another of its names."""

import openai
import pytest

from finetune_app.api_keys import services as api_keys
from finetune_app.deployment import aliases, services
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import ask
from tests.worker.conftest import wait_for

OLD_NAME = "ft:gpt-4o-mini-2024-07-18:my-shop::A1b2C3"


@pytest.fixture
def alias(live):
    return aliases.add_alias(deployment=live, name=OLD_NAME)


def test_each_name_gets_the_same_answer(client, live, alias):
    """The real engine, with a tiny model."""
    by_name, by_alias = ask(client), ask(client, model=OLD_NAME)
    assert by_alias.choices[0].message.content == by_name.choices[0].message.content
    assert by_alias.model == OLD_NAME
    assert wait_for(lambda: Request.objects.count() == 2)
    assert set(Request.objects.values_list("deployment_id", flat=True)) == {live.pk}


def test_models_lists_every_name(client, live, alias):
    names = [model.id for model in client.models.list()]
    assert names[-2:] == [live.name, OLD_NAME]
    assert client.models.retrieve(OLD_NAME).id == OLD_NAME


def test_a_key_for_this_deployment_may_use_its_names(client, address, live, alias, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="narrow", deployment=live)
    narrow = client.with_options(api_key=text)
    assert ask(narrow, model=OLD_NAME).choices


def test_a_paused_one_is_paused_under_each_name(client, live, alias):
    services.pause(deployment=live)
    with pytest.raises(openai.APIStatusError, match="is paused") as refused:
        ask(client, model=OLD_NAME)
    assert refused.value.status_code == 503
    assert OLD_NAME not in [model.id for model in client.models.list()]


def test_a_removed_name_is_unknown(client, alias):
    alias.delete()
    with pytest.raises(openai.NotFoundError):
        ask(client, model=OLD_NAME)


def test_another_team_does_not_reach_it(client, alias, stranger):
    _key, text = api_keys.create_key(team=stranger.teams.get(), by=stranger, name="theirs")
    with pytest.raises(openai.NotFoundError):
        ask(client.with_options(api_key=text), model=OLD_NAME)
