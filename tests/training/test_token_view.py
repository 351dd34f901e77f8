"""One example exactly as the model will see it."""

import re

import pytest
from django.urls import reverse

from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.core import engine_client
from finetune_app.datasets.services import add_rows, dataset_of
from tests.worker.engine.tiny_models import make_base
from worker import template

SAID = [
    {"role": "user", "content": "Is my bike\nready?"},
    {"role": "assistant", "content": "Yes, come by"},
]


@pytest.fixture
def example(goal, owner):
    add_rows(dataset=dataset_of(goal), by=owner, rows=[{"messages": SAID}])
    return dataset_of(goal).examples.get()


@pytest.fixture
def choice(goal, data_dir):
    model = BaseModel.objects.create(slug="tiny", name="Tiny", source="tests", context=512)
    (data_dir / model.folder).mkdir(parents=True, exist_ok=True)
    make_base(data_dir / model.folder, "llama")
    return BaseModelChoice.objects.create(goal=goal, base_model=model)


@pytest.fixture
def answering(monkeypatch):
    """The engine's own rendering, without its process."""

    async def view(base_model, messages, *, max_tokens=1024, tools=(), thinking=False):
        tokenizer = template.load_tokenizer(base_model)
        spans = template.token_spans(tokenizer, messages, max_tokens, tools, thinking=thinking)
        return [vars(one) for one in spans]

    monkeypatch.setattr(engine_client, "token_view", view)


@pytest.fixture
def url(goal, example) -> str:
    return reverse("training:tokens", kwargs={"goal_id": goal.pk, "number": example.number})


def shown(page: str, kind: str) -> str:
    """All text of one kind."""
    drawn = page.partition('id="tokens">')[2].partition("</div>")[0]
    return "".join(re.findall(rf'<span\s+class="{kind}[^"]*"\s*>([^<]*)</span>', drawn))


def test_learned_tokens_are_marked(as_viewer, url, choice, answering):
    page = as_viewer.get(url).content.decode()
    assert shown(page, "learned").startswith("Yes, come by")
    assert "Is my bike↵\nready?" in shown(page, "read")
    assert "special" in page
    assert "Tiny" in page


def test_an_example_that_does_not_fit_is_struck_through(as_viewer, url, choice, answering):
    BaseModel.objects.update(context=16)
    page = as_viewer.get(url).content.decode()
    assert "Is my bike" in shown(page, "cut")
    assert "so this example is not learned" in page


def test_turns_that_are_left_out_are_struck_through(as_viewer, url, example, choice, answering):
    turns = [{"role": "user", "content": "Hello " * 40}, {"role": "assistant", "content": "Hi"}]
    example.messages = [*turns, *example.messages]
    example.save()
    BaseModel.objects.update(context=60)
    page = as_viewer.get(url).content.decode()
    assert "Hello" in shown(page, "cut")
    assert "Is my bike" in shown(page, "read")
    assert "the earliest turns are left out" in page


def test_without_a_base_model_there_are_no_tokens(as_viewer, url):
    page = as_viewer.get(url).content.decode()
    assert "no base model is chosen yet" in page


def test_an_unreachable_engine_is_shown(as_viewer, url, choice, monkeypatch):
    async def away(*args, **kwargs):
        raise engine_client.EngineUnavailable("The model cannot be reached just now.")

    monkeypatch.setattr(engine_client, "token_view", away)
    reply = as_viewer.get(url)
    assert reply.status_code == 200
    assert "The model cannot be reached just now." in reply.content.decode()


def test_an_opened_example_leads_there(as_viewer, goal, example, url):
    opened = reverse("datasets:example", kwargs={"goal_id": goal.pk, "number": example.number})
    assert url in as_viewer.get(opened).content.decode()


def test_strangers_see_nothing(as_owner, as_stranger, goal, url):
    assert as_stranger.get(url).status_code == 404
    assert as_owner.post(url).status_code == 405
    missing = reverse("training:tokens", kwargs={"goal_id": goal.pk, "number": 99})
    assert as_owner.get(missing).status_code == 404
