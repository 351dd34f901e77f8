"""The line that a failed sign-in leaves in the log."""

import logging

import pytest
from django.test import Client

from tests.accounts.pages import LONG_PASSWORD
from tests.conftest import PASSWORD


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING, logger="finetune_app.accounts.signals")
    return lambda: [record.getMessage() for record in caplog.records]


def test_it_names_the_address_and_the_account(lines, owner):
    form = {"email": f" {owner.email.upper()} ", "password": "a guess"}
    Client(REMOTE_ADDR="192.0.2.7").post("/sign-in/", form)
    assert lines() == [f"Failed sign-in from 192.0.2.7 to account {owner.pk}"]


def test_what_was_typed_as_an_unknown_address_is_not_written(lines, client, owner):
    client.post("/sign-in/", {"email": "hunter2@kettle.example", "password": "a guess"})
    assert lines() == ["Failed sign-in from 127.0.0.1 to no known account"]


def test_a_sign_in_that_succeeds_leaves_none(lines, client, owner):
    client.post("/sign-in/", {"email": owner.email, "password": PASSWORD})
    assert lines() == []


def test_a_try_during_the_lock_leaves_one_too(lines, client, owner):
    for _try in range(9):
        client.post("/sign-in/", {"email": owner.email, "password": "a guess"})
    assert len(lines()) == 9


def test_a_wrong_password_where_it_is_asked_again_leaves_one(lines, as_owner, owner):
    as_owner.post("/account/password/", {"old": "a guess", "new": LONG_PASSWORD})
    assert lines() == [f"Failed sign-in from 127.0.0.1 to account {owner.pk}"]


def test_no_line_holds_a_password(lines, client, as_owner, owner):
    client.post("/sign-in/", {"email": owner.email, "password": "nearly my password"})
    as_owner.post("/account/delete/", {"password": "nearly my password"})
    assert len(lines()) == 2
    assert "nearly" not in " ".join(lines())
