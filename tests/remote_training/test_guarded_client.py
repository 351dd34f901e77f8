"""The client of the official libraries connects only to addresses that were checked."""

import pytest

from finetune_app.providers import guarded_client
from finetune_app.remote_training.platforms.contract import PlatformError
from finetune_app.remote_training.platforms.openai import OpenAIPlatform
from tests.remote_training.loopback import KEY, Fault


@pytest.fixture
def resolved_to(monkeypatch):
    """What a name is resolved to."""

    def resolve(*addresses: str) -> None:
        monkeypatch.setattr(guarded_client, "_resolve", lambda host, port: list(addresses))

    return resolve


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"]
)
def test_a_name_of_this_network_is_not_called(resolved_to, address):
    resolved_to("93.184.216.34", address)
    with pytest.raises(PlatformError, match="which Finetune does not call") as refused:
        OpenAIPlatform("https://platform.example/v1", KEY, allowed=()).check()
    assert refused.value.retry_after is None


def test_where_one_address_has_no_route_the_next_is_tried(resolved_to, platform):
    resolved_to("::1", "127.0.0.1")  # the stub listens on the second alone
    url = platform.url.replace("127.0.0.1", "platform.example")
    place = platform.place.replace("127.0.0.1", "platform.example")
    OpenAIPlatform(url, KEY, allowed={place}).check()


def test_a_redirect_is_said_and_not_followed(platform):
    elsewhere = {"Location": "http://169.254.169.254/latest"}
    platform.faults.append(Fault("GET", "/fine_tuning/jobs", status=307, headers=elsewhere))
    with pytest.raises(PlatformError, match="redirects to another address"):
        OpenAIPlatform(platform.url, KEY, allowed={platform.place}).check()
    assert platform.asked == ["/fine_tuning/jobs"]


def test_the_environment_of_the_installation_is_sent_to_no_platform(platform, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-operator")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-the-operator")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "X-Secret: operator\nAuthorization: Bearer operator"
    )
    OpenAIPlatform(platform.url, KEY, allowed={platform.place}).check()
    assert platform.headers["authorization"] == f"Bearer {KEY}"
    assert "operator" not in str(platform.headers)
