"""An owner connects an account of the team on a platform, changes and removes it."""

from decimal import Decimal
from importlib import import_module

import pytest
from django.apps import apps
from django.urls import reverse
from django.utils import timezone

from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.providers.models import Endpoint
from finetune_app.providers.services import checked_address
from finetune_app.remote_training import services
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platform_kinds import BY_NAME
from finetune_app.remote_training.platforms.openai import OpenAIPlatform
from finetune_app.remote_training.spending import keep_deleted
from tests.remote_training.conftest import step
from tests.remote_training.loopback import KEY

ADD, PAGE = (
    f"{reverse('remote_training:add_account')}?platform=openai",
    reverse("remote_training:accounts"),
)


def given(platform, **fields) -> dict[str, str]:
    return {"address": platform.url, "name": "Our cluster", "key": KEY} | fields


def test_an_owner_connects_it_and_the_key_is_tried(as_owner, platform, owner):
    answer = as_owner.post(ADD, given(platform, price="5", spending_cap="20"), follow=True)
    assert "Connected: the key works." in answer.text
    account = PlatformAccount.objects.get()
    assert (account.url, account.price, account.spending_cap) == (platform.url, 5, 20)
    assert account.added_by == owner


DOCUMENTED = {
    "together": "https://api.together.ai/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "vertex": "https://us-central1-aiplatform.googleapis.com/v1",
}


def connected(team, platform: str) -> PlatformAccount:
    """As `connect_account` stores it."""
    url = str(checked_address(BY_NAME[platform].address.format(region="us-central1")))
    return PlatformAccount(team=team, platform=platform, name=platform, url=url, secret="")


@pytest.mark.parametrize("platform", DOCUMENTED)
def test_its_models_are_asked_at_the_documented_address(db, team, platform):
    assert connected(team, platform).chat_url == DOCUMENTED[platform]


def test_addresses_with_a_slash_too_many_are_corrected(team, owner):
    connected(team, "fireworks").save()
    given = {"consented_by": owner, "consented_at": timezone.now(), "model": "m"}
    for name, url in (
        ("tuned", "https://api.fireworks.ai//inference/v1"),
        ("typed", "https://llm.kettle.example//v1"),
    ):
        Endpoint.objects.create(team=team, name=name, url=url, **given)
    migration = import_module("finetune_app.remote_training.migrations.0006_chat_addresses")
    migration.correct(apps, None)
    addresses = dict(Endpoint.objects.values_list("name", "url"))
    assert addresses["tuned"] == DOCUMENTED["fireworks"]
    assert addresses["typed"] == "https://llm.kettle.example//v1"


def test_its_key_is_encrypted_and_on_no_page(as_owner, platform):
    as_owner.post(ADD, given(platform))
    account = PlatformAccount.objects.get()
    assert KEY not in account.secret
    assert decrypt(account.secret) == KEY
    change = reverse("remote_training:change_account", args=[account.pk])
    for page in (PAGE, change):
        assert KEY not in as_owner.get(page).text


def test_a_key_that_does_not_work_is_not_stored(as_owner, platform):
    answer = as_owner.post(ADD, given(platform, key="sk-wrong"))
    assert answer.status_code == 422
    assert "does not accept the key" in answer.text
    assert "sk-wrong" not in answer.text
    assert not PlatformAccount.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"address": "http://169.254.169.254/v1"}, "https"),
        ({"address": "nonsense"}, "An address begins with https://"),
        ({"key": ""}, "Enter the key"),
        ({"name": ""}, "Give it a name"),
        ({"spending_cap": "20"}, "A cap needs the price"),
    ],
)
def test_what_is_wrong_is_said(as_owner, platform, fields, words):
    answer = as_owner.post(ADD, given(platform, **fields))
    assert answer.status_code == 422
    assert words in answer.text


def test_a_platform_that_is_not_there_is_said(as_owner, platform, settings):
    settings.ENDPOINTS_ALLOWED = frozenset({platform.place, "127.0.0.1:9"})
    answer = as_owner.post(ADD, given(platform, address="http://127.0.0.1:9/v1"))
    assert "cannot be reached" in answer.text


def test_another_key_is_tried_before_it_replaces_the_first(as_owner, account, platform):
    page = reverse("remote_training:change_account", args=[account.pk])
    assert "does not accept the key" in as_owner.post(page, {"key": "sk-wrong"}).text
    platform.key = "sk-new"
    as_owner.post(page, {"key": "sk-new", "price": "4"})
    account.refresh_from_db()
    assert decrypt(account.secret) == "sk-new"
    assert account.price == Decimal(4)


def test_a_training_deleted_while_the_key_is_tried_still_counts(
    as_owner, account, platform, monkeypatch
):
    check = OpenAIPlatform.check

    def checked(self) -> None:
        keep_deleted(PlatformAccount.objects.all(), Decimal(7))
        check(self)

    monkeypatch.setattr(OpenAIPlatform, "check", checked)
    as_owner.post(reverse("remote_training:change_account", args=[account.pk]), {"key": KEY})
    account.refresh_from_db()
    assert services.spent_this_month(account) == 7


def test_a_new_key_is_that_of_its_models_too(as_owner, account, start, platform):
    training = step(start())
    platform.succeed()
    training = step(training)
    platform.key = "sk-new"
    as_owner.post(reverse("remote_training:change_account", args=[account.pk]), {"key": "sk-new"})
    training.endpoint.refresh_from_db()
    assert decrypt(training.endpoint.secret) == "sk-new"


def test_a_new_key_is_that_of_its_models_after_the_secrets_were_rotated(
    as_owner, account, start, platform
):
    training = step(start())
    platform.succeed()
    training = step(training)
    account.secret = encrypt(KEY)  # each is encrypted anew, for itself
    account.save()
    platform.key = "sk-new"
    as_owner.post(reverse("remote_training:change_account", args=[account.pk]), {"key": "sk-new"})
    training.endpoint.refresh_from_db()
    assert decrypt(training.endpoint.secret) == "sk-new"


def test_models_with_another_key_keep_it(as_owner, account, platform, team):
    other = team.endpoints.create(
        name="Other",
        url=account.url,
        model="other",
        secret=encrypt("sk-other"),
        consented_at=timezone.now(),
    )
    platform.key = "sk-new"
    as_owner.post(reverse("remote_training:change_account", args=[account.pk]), {"key": "sk-new"})
    other.refresh_from_db()
    assert decrypt(other.secret) == "sk-other"


def test_without_a_new_key_the_old_one_stays(as_owner, account):
    page = reverse("remote_training:change_account", args=[account.pk])
    as_owner.post(page, {"key": "", "price": "4", "spending_cap": "50"})
    account.refresh_from_db()
    assert decrypt(account.secret) == KEY
    assert account.spending_cap == 50


def test_it_is_removed_with_its_key(as_owner, account):
    as_owner.post(reverse("remote_training:delete_account", args=[account.pk]))
    assert not PlatformAccount.objects.exists()


def test_not_while_trainings_were_made_with_it(as_owner, account, start):
    step(start())
    answer = as_owner.post(reverse("remote_training:delete_account", args=[account.pk]))
    assert "Delete those first" in answer.text
    assert PlatformAccount.objects.exists()


def test_others_see_the_names_alone(as_viewer, account):
    page = as_viewer.get(PAGE).text
    assert account.name in page
    assert account.url not in page
    assert as_viewer.get(ADD).status_code == 403


def test_another_team_sees_nothing(as_stranger, account):
    assert account.name not in as_stranger.get(PAGE).text
    page = reverse("remote_training:change_account", args=[account.pk])
    assert as_stranger.get(page).status_code == 404
