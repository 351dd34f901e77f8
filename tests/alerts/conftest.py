import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts.models import User
from finetune_app.alerts import rule_checks, services
from finetune_app.alerts.models import Rule, Watch
from finetune_app.deployment.models import Deployment, Release
from finetune_app.request_log.models import Request
from tests import journey


class Receiver:
    """A server on this machine that receives webhooks and answers with `status`."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((dict(self.headers.items()), body))
                self.send_response(receiver.status)
                if receiver.status == 302:
                    self.send_header("Location", "http://169.254.169.254/")
                self.end_headers()

            def log_message(self, *args) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def host_and_port(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host_and_port}/hook"

    @property
    def bodies(self) -> list[dict]:
        return [json.loads(body) for _headers, body in self.received]


@pytest.fixture
def receiver(settings):
    server = Receiver()
    settings.ENDPOINTS_ALLOWED = frozenset({server.host_and_port})
    yield server
    server.server.shutdown()


@pytest.fixture
def live(goal, owner) -> Deployment:
    from finetune_app.candidates import services as candidates

    deployment = Deployment.objects.create(team=goal.team, goal=goal, name="shop-mail")
    base = candidates.base_candidate(goal=goal, base_model=journey.install())
    Release.objects.create(deployment=deployment, number=1, candidate=base, by=owner)
    return deployment


@pytest.fixture
def watch(live, owner, settings) -> Watch:
    """The owner gets an e-mail when more than 5 percent of requests fail."""
    settings.EMAIL_READY = True
    watch = services.watch_of(live)
    change(watch, people=[owner])
    return watch


def change(watch: Watch, **given) -> str:
    fields = {
        "limits": {"errors": 5.0},
        "people": list(watch.people.all()),
        "quiet": None,
        "webhook": watch.webhook,
        "zone": "UTC",
    }
    return services.change(watch=watch, **{**fields, **given})


def log_requests(
    live: Deployment, *, successful: int = 0, failed: int = 0, seconds: float = 1.0, **given
):
    """Requests that ended just now."""
    for status in [200] * successful + [500] * failed:
        Request.objects.create(
            team=live.team,
            deployment=live,
            model=live.name,
            status=status,
            seconds=seconds,
            **given,
        )


def age_requests(live: Deployment) -> None:
    """Move all requests out of the window of the rules."""
    Request.objects.filter(deployment=live).update(at=timezone.now() - timezone.timedelta(hours=2))


def check(watch: Watch, times: int = 1, metric: str = "errors") -> list[str]:
    """Check a rule as the clock does; the event of each check."""
    rules = Rule.objects.select_related("watch__deployment")
    return [rule_checks.check_rule(rules.get(watch=watch, metric=metric)) for _time in range(times)]


@pytest.fixture
def url(goal):
    return lambda name="page": reverse(f"alerts:{name}", kwargs={"goal_id": goal.pk})


def people(*members: User) -> list[int]:
    return [one.pk for one in members]
