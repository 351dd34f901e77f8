"""Management commands for accounts."""

import pytest
from django.core.management import CommandError, call_command

from finetune_app.accounts import services
from finetune_app.accounts.models import Role, SetUpCode, User
from tests.accounts.pages import LONG_PASSWORD, is_signed_in, sign_in
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def given(monkeypatch):
    """The password comes from the environment, never from the command line."""
    monkeypatch.setenv("FINETUNE_PASSWORD", LONG_PASSWORD)


def test_an_owner_is_made_with_a_team(given, capsys):
    services.set_up_url()
    call_command("create_owner", "Mara@Kettle.example", "--team", "Kettle Lane Cycles")
    owner = User.objects.get(email="mara@kettle.example")
    assert owner.memberships.get().role == Role.OWNER
    assert owner.memberships.get().team.name == "Kettle Lane Cycles"
    assert is_signed_in(sign_in(owner, LONG_PASSWORD))
    assert not SetUpCode.objects.exists()  # the code is no longer needed
    assert LONG_PASSWORD not in capsys.readouterr().out


def test_without_a_terminal_a_password_is_generated_and_shown_once(capsys, monkeypatch):
    monkeypatch.delenv("FINETUNE_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    call_command("create_owner", "mara@kettle.example")
    password = capsys.readouterr().out.split("shown once: ")[1].strip()
    assert len(password) >= 16
    assert is_signed_in(sign_in(User.objects.get(), password))


def test_an_address_that_has_an_account_is_left_alone(given, owner):
    with pytest.raises(CommandError, match="reset_password mara@"):
        call_command("create_owner", owner.email)
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_a_weak_password_is_refused(monkeypatch):
    monkeypatch.setenv("FINETUNE_PASSWORD", "short")
    with pytest.raises(CommandError, match="too short"):
        call_command("create_owner", "mara@kettle.example")
    assert not User.objects.exists()


def test_a_new_password_ends_open_sessions_and_a_lock(given, owner, client):
    before = sign_in(owner)
    for _try in range(8):
        client.post("/sign-in/", {"email": owner.email, "password": "guess"})
    call_command("reset_password", "MARA@kettle.example")
    assert not is_signed_in(before)
    assert is_signed_in(sign_in(owner, LONG_PASSWORD))


def test_an_unknown_address_is_an_error(given):
    with pytest.raises(CommandError, match="Nobody here"):
        call_command("reset_password", "nobody@kettle.example")
