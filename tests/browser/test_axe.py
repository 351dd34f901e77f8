"""Every page there is, looked at by axe: wide and narrow, light and dark, and in trouble too.

Walks the URL configuration with the helpers of tests/test_routes.py, so a new page is looked at
without a line here. On each page: nothing for axe to say, nothing wider than the screen, nothing
on the console (where a broken content security policy also shows).

`make test` lets axe look at each page once, wide and light or narrow and dark in turn, and measures
it in both. Empty pages, work in every state and what a viewer sees are looked at in `make long`,
where axe looks at everything in all four ways (`--four-looks`), as it does when screenshots are
wanted.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts.models import Role
from finetune_app.accounts.services import set_operator, set_up_url
from finetune_app.datasets.models import Edit
from finetune_app.datasets.services import batch_edits, bulk_edits
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.jobs.models import Job, State
from finetune_app.labelling import assignment, suggestions
from finetune_app.labelling.answers import answer_row
from tests.browser.looker import FOUR_LOOKS, TWO_LOOKS, Looker
from tests.browser.person import SHOTS
from tests.conftest import person, signed_in
from tests.factories import World, build_world
from tests.labelling.helpers import add_pending_rows
from tests.routes import DECLARED, Route, ids_of

# What a page shows only when it is asked for.
ASKED: dict[str, list[str]] = {
    "training:page": ["?new"],
    "knowledge:ask": ["?q=How+long+is+the+warranty"],
    "knowledge:document": ["?at=10"],
    "evaluation:page": ["?new"],
    "evaluation:detail": ["?outcome=worse", "?q=nothing-says-this"],
    "goals:new": ["?example=json"],
    "datasets:bulk": ["?which=all&what=set_aside", "?what=draft&row=1"],
    "datasets:page": ["?sort=longest&least=1", "?q=nothing-says-this", "?status=set_aside"],
}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]


@pytest.fixture
def looker(new_context, live_server, pytestconfig) -> Looker:
    all_four = SHOTS or pytestconfig.getoption("--four-looks")
    return Looker(new_context(), live_server.url, FOUR_LOOKS if all_four else TWO_LOOKS)


@pytest.fixture
def sign_in_the_browser(looker) -> Callable[[Client], None]:
    def sign_in(client: Client) -> None:
        looker.context.clear_cookies()
        cookies = [
            {"name": name, "value": one.value, "url": looker.server}
            for name, one in client.cookies.items()
        ]
        looker.context.add_cookies(cookies)

    return sign_in


@pytest.fixture
def walk(looker, sign_in_the_browser) -> Callable[..., None]:
    """Visit every page of the URL configuration as `client`."""

    def visit(who: str, client: Client, routes: list[Route], ids: Callable[[Route], dict]) -> None:
        sign_in_the_browser(client)
        for route in routes:
            for query in ["", *ASKED.get(route.name, [])]:
                address = reverse(route.name, kwargs=ids(route)) + query
                response = undone(client, "get", address)
                if response.status_code == 200 and looker.is_new(response):
                    looker.visit(who, address)

    return visit


def undone(client: Client, method: str, address: str) -> Any:
    """One request after which the database is as before."""
    copy = Client(raise_request_exception=False)
    copy.cookies = client.cookies.copy()  # signing out must not sign out the others
    with transaction.atomic():
        response = getattr(copy, method)(address, headers={"host": "localhost"})
        transaction.set_rollback(True)
    return response


PAGES = [route for route in DECLARED if "GET" in route.policy.methods]
BELOW_A_GOAL = [route for route in PAGES if set(route.ids) == {"goal_id"}]


@pytest.fixture
def world(transactional_db, team, owner) -> World:
    set_operator(user=owner, on=True)  # whose pages are looked at, too
    return build_world(team, owner)


def test_pages_with_everything_in_them(world, as_owner, walk, looker):
    outside = [route for route in PAGES if route.policy.scope == "public"]
    walk("the owner", as_owner, PAGES, lambda route: ids_of(route, world))
    walk("somebody outside", Client(), outside, lambda route: ids_of(route, world))
    looker.assert_all_well(at_least=25)


@pytest.mark.long
def test_pages_for_somebody_who_may_only_look(world, as_viewer, walk, looker):
    of_a_goal = [route for route in PAGES if route.policy.scope == "goal"]
    walk("a viewer", as_viewer, of_a_goal, lambda route: ids_of(route, world))
    looker.assert_all_well(at_least=10)


@pytest.mark.long
def test_pages_with_nothing_in_them_yet(transactional_db, team, owner, as_owner, walk, looker):
    walk("the owner", as_owner, [r for r in PAGES if not r.ids], lambda route: {})
    goal = Goal.objects.create(team=team, name="Sort emails", created_by=owner)
    walk("the owner", as_owner, BELOW_A_GOAL, lambda route: {"goal_id": goal.pk})
    looker.assert_all_well(at_least=10)


def test_the_first_page_of_all(transactional_db, looker):
    """Before there is anybody: with the code, with a wrong one, without one."""
    address = urlsplit(set_up_url())
    for query in (f"?{address.query}", "?code=WRONG", ""):
        looker.visit("the first person", f"{address.path}{query}")
    looker.assert_all_well(at_least=3)


@pytest.mark.long
@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.STOPPED, State.FAILED])
def test_pages_while_work_is_under_way_or_has_failed(world, as_owner, walk, looker, state):
    from finetune_app.evaluation.models import Comparison
    from finetune_app.training.models import Training

    Job.objects.update(
        state=state,
        done=3,
        total=9,
        unit="steps",
        message="What happened, and what to do now.",
        error_code="crash" if state == State.FAILED else "",
        detail="Traceback: line 1",
    )
    Training.objects.update(adapter_sha256="")
    Comparison.objects.all().delete()
    with_work = [r for r in PAGES if r.policy.scope == "goal" or r.name == "guide:home"]
    rooms = (
        "training",
        "evaluation",
        "imports:detail",
        "datasets:page",
        "basemodels",
        "guide",
        "candidates:suggestions",
    )
    routes = [route for route in with_work if route.name.startswith(rooms)]
    walk("the owner", as_owner, routes, lambda route: ids_of(route, world))
    looker.assert_all_well(at_least=3)


IMPORTS: dict[str, dict[str, Any]] = {
    "as last time, with more to choose": {
        "step": "confirm",
        "mode": "merge",
        "mapping": {"key": "email", "unanswered": "keep"},
        "shape": {"remembered": True},
    },
    "what would change": {
        "step": "planned",
        "mode": "replace",
        "plan": {
            "new": 2,
            "changed": 1,
            "same": 0,
            "gone": 3,
            "first": [
                {
                    "number": 1,
                    "before": {"prompt": "Is my bike ready?", "answer": "order_status"},
                    "after": {"prompt": "Is my bike ready?", "answer": "repair_status"},
                }
            ],
        },
    },
    "what has changed": {
        "step": "done",
        "mode": "merge",
        "rows_kept": 2,
        "plan": {"new": 2, "changed": 1, "same": 0, "gone": 0, "first": []},
    },
    "all or nothing": {"step": "failed", "whole_or_nothing": True, "message": "One is bad."},
    "adding": {"step": "adding"},
    "a workbook in a zip": {
        "step": "confirm",
        "shape": {
            "kind": "zip",
            "format": "sheet",
            "encoding": "",
            "encoding_why": "",
            "delimiter": "",
            "members": ["orders/2026.xlsx", "readme.csv"],
            "member": "orders/2026.xlsx",
            "sheets": ["Orders", "Archive"],
            "sheet": "Orders",
        },
    },
}


@pytest.mark.parametrize("what", IMPORTS)
def test_an_import_on_its_way(world, as_owner, walk, looker, what):
    for name, value in IMPORTS[what].items():
        before = getattr(world.file, name)
        setattr(world.file, name, before | value if name in ("mapping", "shape") else value)
    world.file.save()
    routes = [route for route in PAGES if route.name == "imports:detail"]
    walk(f"the owner, {what}", as_owner, routes, lambda route: ids_of(route, world))
    looker.assert_all_well(at_least=1)


def test_the_health_page_with_all_that_can_be_wrong(world, as_owner, sign_in_the_browser, looker):
    from finetune_app.checks import services as checks
    from finetune_app.checks.services import start_check
    from tests.checks.defects import with_defects

    dataset = with_defects(world.goal.dataset)
    sign_in_the_browser(as_owner)
    health = reverse("checks:health", kwargs={"goal_id": world.goal.pk})
    looker.visit("the owner, all kinds of findings", health)
    dataset.examples.filter(number=1).update(prompt="changed")
    job = start_check(dataset)
    states = [(State.QUEUED, 0), (State.RUNNING, 40), (State.FAILED, 40)]
    for state, done in states:
        Job.objects.filter(pk=job.pk).update(
            state=state, done=done, total=120, unit="examples", message="Looking at each example"
        )
        looker.visit(f"the owner, while a check is {state}", health)
    checks.run_checks(dataset)
    looker.assert_all_well(at_least=4)


def test_many_rows_half_changed_and_a_trash_to_empty(
    world, as_owner, as_viewer, sign_in_the_browser, looker
):
    world.edit.todo = bulk_edits.pending_bulk_edit(
        {"status": "draft"}, "Made %(n)s drafts again", "?", None, 10
    )
    world.edit.save()
    world.example.deleted_at = timezone.now()
    world.example.save()
    goal = {"goal_id": world.goal.pk}
    change = reverse("datasets:edit", kwargs=goal | {"edit_id": world.edit.pk})
    sign_in_the_browser(as_viewer)
    looker.visit("a viewer, half way", change)
    sign_in_the_browser(as_owner)
    looker.visit("the owner, half way", change)
    batch_edits.start_job(world.edit)
    looker.visit("the owner, under way", change)
    looker.visit("the owner, under way", reverse("datasets:page", kwargs=goal))
    Edit.objects.filter(pk=world.edit.pk).update(todo={}, count=12_345)
    looker.visit("the owner, through", change)
    looker.visit("the owner", reverse("datasets:page", kwargs=goal) + "?status=trash")
    looker.visit("the owner", reverse("datasets:empty", kwargs=goal))
    looker.assert_all_well(at_least=7)


def test_the_blind_choice(world, as_owner, walk, looker):
    world.evaluation.measure = MeasureKind.CHOICE
    world.evaluation.save()
    routes = [route for route in PAGES if route.name.startswith("evaluation:")]
    walk("the owner", as_owner, routes, lambda route: ids_of(route, world))
    looker.assert_all_well(at_least=1)


def test_the_focus_view(world, owner, as_owner, as_viewer, sign_in_the_browser, looker):
    """Rows to do with free answers, with buttons, offered and suggested; what was begun; done."""
    dataset = world.goal.dataset
    add_pending_rows(dataset, owner, 3, start=200)
    first, second = (
        reverse("labelling:row", kwargs={"goal_id": world.goal.pk, "number": number})
        for number in (11, 12)
    )
    sign_in_the_browser(as_owner)
    looker.visit("the owner", first)
    suggestions.add_suggestion(
        example_id=dataset.examples.get(number=11).pk,
        candidate_id=1,
        source="Tiny with your prompt",
        answer="service_due",
    )
    looker.visit("the owner, with a suggestion", first)
    looker.show("nothing written", second, undone(as_owner, "post", second))
    dataset.labels = ["repair_status", "service_due", "a rather long answer on a button"]
    dataset.guidelines = "Ask for the frame number first."
    dataset.save()
    looker.visit("the owner, with buttons", first)
    as_owner.post(
        second.replace("/12/", "/12/keep/"),
        {"answer": "half a sen", "seen": dataset.examples.get(number=12).changed_at.isoformat()},
    )
    looker.visit("the owner, with a draft", second)
    suggestions.add_suggestion(
        example_id=dataset.examples.get(number=12).pk,
        candidate_id=1,
        source="Tiny with your prompt",
        answer="a suggestion of its own",
    )
    looker.visit("the owner, with a suggestion beside a draft", second)
    sign_in_the_browser(as_viewer)
    looker.visit("a viewer", first)
    looker.assert_all_well(at_least=7)


def test_a_disagreement_and_who_answers_what(
    world, owner, editor, as_owner, sign_in_the_browser, looker
):
    dataset = world.goal.dataset
    add_pending_rows(dataset, owner, 14, start=200)
    dataset.twice_percent = 100
    dataset.save()
    for one in dataset.examples.filter(number__gt=10):
        answers = (("service_due", owner), ("order_status", editor))
        for text, who in answers[: 1 if one.number == 12 else 2]:
            answer_row(example=one, by=who, text=text, seen=None)
    assignment.assign_rows(dataset=dataset, to=editor, limit=1)
    sign_in_the_browser(as_owner)
    where = {"goal_id": world.goal.pk}
    looker.visit("the owner", reverse("labelling:row", kwargs=where | {"number": 11}))
    looker.visit("the owner, waiting", reverse("labelling:row", kwargs=where | {"number": 12}))
    looker.visit("the owner, who is done", reverse("labelling:start", kwargs=where))
    looker.visit("the owner", reverse("labelling:assignment", kwargs=where))
    looker.assert_all_well(at_least=4)


@pytest.mark.long
def test_pages_that_say_what_went_wrong(world, team, as_owner, sign_in_the_browser, looker):
    """Every address that takes a form gets an empty one; each kind of answer is looked at."""
    sign_in_the_browser(as_owner)
    kinds = set()
    viewer = signed_in(person("vic@kettle.example", team, Role.VIEWER))
    for route in DECLARED:
        address = reverse(route.name, kwargs=ids_of(route, world))
        answers = {"an empty form": undone(as_owner, "post", address)}
        if route.policy.scope != "public":
            answers["a viewer's click"] = undone(viewer, "post", address)
        for what, response in answers.items():
            if response.status_code in (204, 302, 405) or not looker.is_new(response):
                continue
            kind = (response.status_code, *(template.name for template in response.templates))
            if kind not in kinds:
                kinds.add(kind)
                looker.show(f"{address} after {what} ({response.status_code})", address, response)
    looker.show("a missing page", "/no-such/", undone(as_owner, "get", "/no-such/"))
    looker.assert_all_well(at_least=8)


def test_the_page_after_an_error_of_ours(looker):
    from django.test import RequestFactory

    from finetune_app.core.views import bad_request, server_error

    request = RequestFactory().get("/")
    for view in (bad_request, server_error):
        looker.show(view.__name__, "/sign-in/", view(request))
    looker.assert_all_well(at_least=2)
