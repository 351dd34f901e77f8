"""A key gets a new secret; the previous one works for a while."""

from datetime import timedelta

from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey


def test_the_previous_secret_works_for_the_chosen_time(made, as_editor):
    key, old = made()
    page = as_editor.post(f"/team/keys/{key.pk}/rotate/", {"hours": "24"})
    assert page["Cache-Control"] == "no-store"
    new = page.context["text"]
    assert new in page.content.decode()
    assert "secret by Jonas" in as_editor.get("/team/keys/").content.decode()
    assert api_keys.authenticate(old) == api_keys.authenticate(new) == key
    ApiKey.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    assert api_keys.authenticate(old) is None
    assert api_keys.authenticate(new) == key


def works(*texts: str) -> list[bool]:
    return [bool(api_keys.authenticate(text)) for text in texts]


def test_rotating_twice_ends_the_first_secret(made):
    key, first = made()
    _key, second = api_keys.rotate_key(key=key, by=None, hours=1)
    _key, third = api_keys.rotate_key(key=key, by=None, hours=1)
    assert works(first, second, third) == [False, True, True]
    _key, fourth = api_keys.rotate_key(key=key, by=None, hours=0)
    assert works(second, third, fourth) == [False, False, True]


def test_revoking_ends_both_secrets(made):
    key, old = made()
    _key, new = api_keys.rotate_key(key=key, by=None, hours=24)
    api_keys.revoke_key(key=key)
    assert api_keys.authenticate(old) is api_keys.authenticate(new) is None
