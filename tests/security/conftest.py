"""The application as the network sees it: uvicorn on a port, with two teams."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from django.core.management import call_command
from limits.storage import MemoryStorage

from finetune_app.accounts.models import Role, Team
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.basemodels.models import BaseModel
from finetune_app.core import rate_limiter
from finetune_app.deployment.models import Deployment
from tests.conftest import person
from tests.factories import World, build_world
from tests.journey import install
from tests.live_server import serving
from tests.security.api import Ask, checked


@dataclass
class Site:
    """What is attacked. Its engine is unavailable, so a valid request gets a 503."""

    address: str
    ours: World
    theirs: World
    starter: BaseModel

    @property
    def live(self) -> Deployment:
        return self.ours.goal.deployment

    def key(self, *, theirs: bool = False, **options: object) -> tuple[ApiKey, str]:
        team = (self.theirs if theirs else self.ours).team
        return api_keys.create_key(
            team=team, by=None, name="x", requests_per_minute=10**6, **options
        )


@pytest.fixture(scope="module")
def site(django_db_setup, django_db_blocker) -> Iterator[Site]:
    """Made once for each file, and flushed afterwards. One test of the file has to be marked
    django_db, since pytest-django sets up only databases that a test asks for."""
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), serving() as address:
        rate_limiter.limiter.cache_clear()
        patch.setattr(rate_limiter, "_storage", MemoryStorage)
        patch.setattr("django.conf.settings.ENGINE_SOCKET", "/nowhere/engine.sock")
        worlds = []
        for name in ("Kettle Lane Cycles", "Another team"):
            team = Team.objects.create(name=name)
            owner = person(f"owner@{name[:3].lower()}.example", team, Role.OWNER)
            worlds.append(build_world(team, owner))
        yield Site(address, *worlds, install("starter"))
        rate_limiter.limiter.cache_clear()
        call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)


@pytest.fixture(scope="module")
def ask(site) -> Iterator[Ask]:
    """ask(method, path, **) sends a request with a valid key and checks the answer."""
    _key, valid = site.key()
    with httpx.Client(timeout=120) as http:

        def send(method: str, path: str, text: str = valid, **given) -> httpx.Response:
            headers = {"Authorization": f"Bearer {text}"} | given.pop("headers", {})
            return checked(http.request(method, site.address + path, headers=headers, **given))

        yield send
