"""Who is an operator: the first account, and whom the shell names."""

import pytest
from django.core.management import CommandError, call_command

from finetune_app.accounts import services
from finetune_app.accounts.models import User

pytestmark = pytest.mark.django_db
NEW = {"name": "Mara", "password": "correct horse battery", "team_name": "Kettle"}


def test_the_first_account_is_an_operator_and_the_second_is_not():
    assert services.create_owner(email="mara@kettle.example", **NEW).is_staff
    assert not services.create_owner(email="eve@other.example", **NEW).is_staff


def test_the_shell_names_and_lists_operators(owner, capsys):
    call_command("operator", owner.email.upper())
    assert User.objects.get(pk=owner.pk).is_staff
    call_command("operator")
    assert owner.email in capsys.readouterr().out
    call_command("operator", owner.email, remove=True)
    assert not User.objects.get(pk=owner.pk).is_staff


def test_an_unknown_address_is_an_error(db):
    with pytest.raises(CommandError, match="Nobody here"):
        call_command("operator", "nobody@kettle.example")
