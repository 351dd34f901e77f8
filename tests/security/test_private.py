"""What an installation keeps is its owner's alone: folders, cookies, lines of the log."""

import io
import logging
import runpy
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as configured

from finetune_app.core.logs import LineFormatter
from finetune_app.core.secrets import load_secrets, make_private
from finetune_app.core.web_worker import WebWorker
from finetune_app.operations.management.commands.up import broker_command

SETTINGS = Path(configured.BASE_DIR) / "finetune_app" / "settings.py"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def settings_with(tmp_path, monkeypatch):
    """The settings as another installation reads them."""

    def read(**environment: str) -> dict:
        monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(SETTINGS))

    return read


# ---- On the disk ----


def test_the_data_folder_is_made_for_its_owner_alone(settings_with, tmp_path):
    """The database in it would otherwise be readable by every account of the machine."""
    settings_with()
    assert mode(tmp_path / "data") == 0o700
    assert mode(tmp_path / "data" / "secrets.json") == 0o600
    assert mode(tmp_path / "data" / "run") == 0o700


def test_one_that_stood_open_is_closed_and_its_group_kept(tmp_path):
    tmp_path.chmod(0o775)
    make_private(tmp_path)
    assert mode(tmp_path) == 0o770


def test_a_folder_that_all_share_is_left_as_it_is(tmp_path):
    tmp_path.chmod(0o1777)
    make_private(tmp_path)
    assert mode(tmp_path) == 0o1777


def test_no_two_installations_share_a_secret(tmp_path):
    """A key that comes with the program signs everybody's sessions (GHSA-f475-x83m-rx5m)."""
    one, other = tmp_path / "a", tmp_path / "b"
    one.mkdir()
    other.mkdir()
    first, second = load_secrets(one), load_secrets(other)
    made = {name: value for name, value in first.items() if value != []}  # no older secrets yet
    assert len(made) == 4
    assert all(len(str(value)) >= 43 for value in made.values())
    assert not [name for name in made if made[name] == second[name]]


def test_the_broker_listens_on_a_socket_for_its_owner_alone(tmp_path):
    command = broker_command(tmp_path / "broker.sock")
    assert command[command.index("--port") + 1] == "0"
    assert command[command.index("--unixsocketperm") + 1] == "700"


def test_addresses_are_not_written_down_by_the_web_server():
    """An invitation's and a set-up's address are secrets."""
    assert WebWorker.CONFIG_KWARGS["access_log"] is False
    assert WebWorker.CONFIG_KWARGS["server_header"] is False
    assert "accesslog" not in SETTINGS.with_name("web_server.py").read_text()


# ---- Cookies ----


def test_over_https_cookies_are_of_this_host_alone(settings_with):
    found = settings_with(PUBLIC_URL="https://finetune.example")
    assert found["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert found["CSRF_COOKIE_NAME"].startswith("__Host-")
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT"):
        assert found[name] is True
    assert found["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert found["ALLOWED_HOSTS"] == ["127.0.0.1", "[::1]", "finetune.example", "localhost"]
    assert found["CSRF_TRUSTED_ORIGINS"] == ["https://finetune.example"]


def test_no_script_reads_a_cookie_and_no_other_site_sends_one(client, owner):
    form = {"email": owner.email, "password": "correct horse battery"}
    client.get("/sign-in/")
    client.post("/sign-in/", form)
    assert set(client.cookies) == {"sessionid", "csrftoken"}
    for cookie in client.cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["domain"]


# ---- Hosts (the address of a link must not come from the request) ----


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost:80@evil"])
def test_a_host_that_is_not_ours_is_refused(client, owner, host):
    assert client.get("/sign-in/", headers={"Host": host}).status_code == 400


def test_an_invitation_names_our_own_address_whatever_the_browser_says(as_owner, settings):
    """Host header poisoning of a link that is passed on."""
    headers = {"X-Forwarded-Host": "evil.example", "X-Original-Url": "https://evil.example/"}
    page = as_owner.post("/team/invite/", {"role": "viewer"}, headers=headers).content.decode()
    assert f"{settings.PUBLIC_URL}/join/" in page
    assert "evil.example" not in page


# ---- The log ----


def line(message: str, *args: object, error: Exception | None = None) -> str:
    info = (type(error), error, None) if error else None
    record = logging.LogRecord("x", logging.INFO, "f", 1, message, args, info)
    return LineFormatter("{levelname} {message}", style="{").format(record)


def test_a_line_end_makes_no_second_line():
    """Log injection: a name that would write a line of its own, or move the terminal's cursor."""
    written = line("asked for %s", "x\n2026-01-01 INFO root signed in\r\x1b[2J\u2028y")
    assert written.splitlines() == [written]
    assert "\x1b" not in written


@pytest.mark.parametrize(
    "text",
    [
        "ft-0a1b2c3d-SECRETsecretSECRETsecret",
        "Authorization: Bearer SECRETsecret",
        "GET /join/SECRETsecretSECRET/",
        "POST /chat/SECRETsecretSECRET/",
        "/set-up/?code=SECRET-SECRET",
        "hf_SECRETsecret",
        "sk-SECRETsecret",
    ],
)
def test_a_key_that_a_library_writes_down_does_not_reach_the_log(text):
    assert "SECRET" not in line("failed: %s", text)
    assert "SECRET" not in line("failed", error=ValueError(text))
    assert "…" in line(text)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is written down meanwhile, as our log writes it."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(LineFormatter("{levelname} {message}", style="{"))
    logging.getLogger().addHandler(handler)
    yield handler.stream
    logging.getLogger().removeHandler(handler)


def test_a_fault_while_somebody_signs_in_tells_nobody_the_password(client, owner, monkeypatch, log):
    def broken(*_args, **_fields):
        raise RuntimeError("the database went away")

    monkeypatch.setattr("finetune_app.accounts.forms.authenticate", broken)
    client.raise_request_exception = False
    reply = client.post("/sign-in/", {"email": owner.email, "password": "SECRET horse battery"})
    assert reply.status_code == 500
    assert "the database went away" in log.getvalue()
    for text in (reply.content.decode(), log.getvalue()):
        assert "SECRET" not in text
        assert configured.SECRET_KEY not in text
    assert "Traceback" not in reply.content.decode()
