"""Set-up: a printed code creates an owner and a team, once."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from finetune_app.accounts import services
from finetune_app.accounts.models import Role, SetUpCode, User
from finetune_app.core.errors import PlainError
from tests.accounts.pages import LONG_PASSWORD, is_signed_in, text

FIRST = {
    "email": "Mara@Kettle.example",
    "name": "Mara",
    "password": LONG_PASSWORD,
    "team_name": "Kettle Lane Cycles",
}
pytestmark = pytest.mark.django_db


def printed_path() -> str:
    address = services.set_up_url()
    assert address is not None
    assert address.startswith(settings.PUBLIC_URL + "/set-up/?code=")
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def wrong_codes(browser: Client, count: int) -> None:
    for number in range(count):
        browser.post("/set-up/", {"code": f"WRONG-{number}"})


def test_without_users_every_page_redirects_to_set_up(client):
    response = client.get("/", follow=True)
    assert response.redirect_chain[-1][0] == "/set-up/"
    assert "set-up code" in text(response)


def test_the_printed_address_makes_the_owner_and_the_team(client):
    response = client.get(printed_path())
    assert response.status_code == 302
    assert response["Location"] == "/set-up/"  # the code is removed from the address

    assert "Your team" in text(client.get("/set-up/"))
    response = client.post("/set-up/", FIRST)
    assert response.status_code == 302
    assert response["Location"] == "/"

    owner = User.objects.get()
    membership = owner.memberships.get()
    assert owner.email == "mara@kettle.example"
    assert membership.role == Role.OWNER
    assert membership.team.name == "Kettle Lane Cycles"
    assert is_signed_in(client)


def test_the_code_may_be_typed_in_small_letters_without_dashes(client):
    code = printed_path().partition("code=")[2]
    client.post("/set-up/", {"code": f" {code.lower().replace('-', ' ')} "})
    assert "Your team" in text(client.get("/set-up/"))


def test_only_a_hash_of_the_code_is_kept(client):
    code = printed_path().partition("code=")[2]
    client.get(f"/set-up/?code={code}")
    row = SetUpCode.objects.get()
    kept = str(vars(row)) + str(dict(client.session))
    assert code not in kept
    assert code.replace("-", "") not in kept


def test_a_wrong_code_is_refused_in_plain_words(client):
    printed_path()
    response = client.get("/set-up/?code=ABCD-EFGH-JKMN-PQRS", follow=True)
    assert response.redirect_chain == [("/set-up/", 302)]
    assert "That code is not right" in text(response)
    assert "Your team" not in text(response)


def test_a_form_without_the_code_creates_no_user(client):
    printed_path()
    client.post("/set-up/", FIRST)
    assert not User.objects.exists()


def test_starting_again_makes_a_new_code_and_the_old_one_stops(client):
    old = printed_path()
    client.get(old)
    printed_path()
    client.post("/set-up/", FIRST)
    assert not User.objects.exists()
    assert "That code is not right" in text(client.get(old, follow=True))


def test_after_ten_wrong_codes_even_the_right_one_waits(client):
    right = printed_path()
    wrong_codes(client, 10)
    response = client.get(right)
    assert response.status_code == 429
    assert "Wait ten minutes" in text(response)

    SetUpCode.objects.update(wrong_since=timezone.now() - timedelta(minutes=11))
    assert client.get(right).status_code == 302


def test_a_new_start_ends_the_wait(client):
    printed_path()
    wrong_codes(client, 10)
    assert client.get(printed_path()).status_code == 302


def test_of_two_users_with_the_same_code_one_succeeds(client):
    path, second = printed_path(), Client()
    client.get(path)
    second.get(path)
    client.post("/set-up/", FIRST)
    response = second.post("/set-up/", FIRST | {"email": "eve@other.example"})
    assert response["Location"] == "/sign-in/"
    assert User.objects.count() == 1


def test_the_code_cannot_be_used_up_twice():
    code_hash = services.check_code(printed_path().partition("code=")[2])
    services.set_up(code_hash=code_hash, **FIRST)
    with pytest.raises(PlainError, match="used already"):
        services.set_up(code_hash=code_hash, **FIRST | {"email": "eve@other.example"})
    assert User.objects.count() == 1


def test_with_a_user_the_page_redirects(client, owner):
    assert services.set_up_url() is None
    assert client.get("/set-up/")["Location"] == "/sign-in/"
    assert client.post("/set-up/", FIRST)["Location"] == "/sign-in/"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("password", "short", "too short"),
        ("password", "password123", "too common"),
        ("email", "not an address", "valid e"),
        ("team_name", "", "required"),
    ],
)
def test_errors_are_shown_next_to_the_field(client, field, value, words):
    client.get(printed_path())
    response = client.post("/set-up/", FIRST | {field: value})
    assert response.status_code == 422
    assert words in text(response)
    assert 'aria-invalid="true"' in text(response)
    assert not User.objects.exists()


def test_other_methods_are_refused(client):
    assert client.put("/set-up/").status_code == 405
    assert client.delete("/set-up/").status_code == 405
