"""Somebody connects a platform, sees what leaves and what it costs, has it trained there, tests the
result on the sealed prompts, and asks it through our API. The platform is a stub."""

import re
import threading

import openai
import pytest
from django.conf import settings as configured
from playwright.sync_api import Page, expect

from finetune_app.api_keys import services as api_keys
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.deployment.models import Release
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals import services as goals
from finetune_app.jobs import lease
from finetune_app.jobs import services as jobs
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.request_log.models import Request
from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.looker import NARROW, WIDE
from tests.browser.steps import look, press
from tests.example_rows import pair
from tests.remote_training.conftest import STUBS, account, platform, step  # noqa: F401
from tests.remote_training.loopback import KEY
from tests.worker.engine.tiny_models import make_base
from worker import warm_child
from worker.supervise import Supervision

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]
ROWS = 90
PLATFORMS = [
    pytest.param(kind, marks=[] if kind == "openai" else [pytest.mark.long]) for kind in STUBS
]


@pytest.fixture
def page(goal, owner, as_owner, new_context, live_server, monkeypatch) -> Page:
    """The launch page of a goal whose base model on this machine is tiny and knows nothing."""
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)
    goals.choose_measure(goal=goal, kind="exact", settings={})
    journey.freeze(goal, owner, ROWS)
    base = journey.install("tiny")
    make_base(configured.DATA_DIR / base.folder, "llama")
    BaseModelChoice.objects.create(goal=goal, base_model=base, chosen_by=owner)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{goal.pk}/training/")
    return page


def connect(page: Page, platform) -> None:  # noqa: F811
    press(page, "Train elsewhere")
    press(page, "Connect one first")
    press(page, "Connect a platform")
    press(page, "OpenAI's fine-tuning API")
    page.get_by_label("Address of its API").fill(platform.url)
    page.get_by_label("A name for it").fill("Cloud")
    page.get_by_label("Key", exact=True).fill(KEY)
    page.get_by_label("Price of a million training tokens").fill("5")
    page.get_by_label("Most to spend in a month").fill("10")
    look(page, "elsewhere-connect")
    press(page, "^Connect$")
    expect(page.get_by_text("Connected: the key works.")).to_be_visible()


def agree(page: Page, model: str) -> RemoteTraining:
    page.get_by_label("Model to start from").fill(model)
    agreed = page.locator("input[name=agreed]")
    before = agreed.input_value()
    page.get_by_label("Passes over the examples").fill("6")
    expect(agreed).not_to_have_value(before)
    page.get_by_label("I agree to this for the team").check()
    look(page, "elsewhere-agree")
    press(page, "Send and train")
    expect(page.locator("h1")).to_contain_text("Is it learning on")
    return RemoteTraining.objects.latest("pk")


def run_next_heavy_job() -> None:
    taken = lease.take_next(heavy=True, worker="a test")
    Supervision(taken, warm_child.new_light_child, threading.Event()).run()


@pytest.mark.parametrize("platform", PLATFORMS, indirect=True)
def test_from_the_agreement_to_the_api(
    page,
    platform,  # noqa: F811
    goal,
    live_server,
    team,
    owner,
    request,
):
    """Through the pages from the first on OpenAI's; on others, whose address is not asked for, an
    account is there already."""
    wrong = listen(page)
    if platform.kind == "openai":
        connect(page, platform)
        name = "Cloud"
    else:
        name = request.getfixturevalue("account").name
    page.goto(f"{live_server.url}/goals/{goal.pk}/training-elsewhere/")
    press(page, name)
    training = step(agree(page, platform.model))
    platform.become(platform.states["running"])
    said = platform.say("The files are checked.")
    for number, loss in enumerate((2.5, 1.4, 0.6), 1):
        platform.say(f"Step {number}", step=number, train_loss=loss, valid_loss=loss + 0.2)
    training = step(training)
    expect(page.locator("li", has_text=said).first).to_be_visible(timeout=15_000)
    if any(event.metrics for event in training.events.all()):  # not every platform tells them
        expect(page.locator(".l-train")).to_be_visible()
    look(page, "elsewhere-running")

    platform.succeed()
    training = step(training)
    expect(page.get_by_role("link", name="Evaluate")).to_be_visible(timeout=15_000)
    look(page, "elsewhere-done")
    press(page, "^Evaluate$")

    answers = dict(pair(number) for number in range(ROWS))
    tuned = training.endpoint.model
    platform.reply = lambda model, prompt: answers[prompt] if tuned.endswith(model) else "Hello."
    page.get_by_label(re.compile(f"Tuned on {name}")).check()
    look(page, "elsewhere-evaluate")
    page.locator("[form=start]").click()
    run_next_heavy_job()
    page.goto(f"{live_server.url}/goals/{goal.pk}/evaluation/{Evaluation.objects.get().pk}/")
    verdict = page.locator("#verdict")
    expect(verdict.locator("h1")).to_contain_text(
        "Better at your task; general ability not checked"
    )
    expect(page.get_by_text("what it has forgotten cannot be measured here")).to_be_visible()
    look(page, "elsewhere-verdict")
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
    page.set_viewport_size(WIDE)

    page.goto(f"{live_server.url}/goals/{goal.pk}/deployment/")
    look(page, "elsewhere-go-live")
    press(page, "^Go live$")
    look(page, "elsewhere-live")
    release = Release.objects.get()
    assert release.candidate.endpoint == training.endpoint
    _key, text = api_keys.create_key(team=team, by=owner, name="a program", requests_per_minute=60)
    client = openai.OpenAI(base_url=f"{live_server.url}/v1", api_key=text, max_retries=0)
    prompt, wanted = pair(3)
    messages = [{"role": "user", "content": prompt}]
    answer = client.chat.completions.create(model=release.deployment.name, messages=messages)
    assert answer.choices[0].message.content == wanted
    assert Request.objects.get().tokens == 3
    assert faults(wrong) == []
