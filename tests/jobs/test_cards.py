"""Each graphics card has a worker of its own, and a job that needs a card waits for one."""

from dataclasses import replace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from finetune_app.core.machine import GraphicsCard, Machine
from finetune_app.core.sizes import MEMORY_GB as GB
from finetune_app.jobs import lease, services, worker_machines
from finetune_app.jobs.models import Job, State, WorkerMachine
from finetune_app.jobs.presenters import waiting_headline
from finetune_app.jobs.queue import likely_start
from finetune_app.jobs.worker_machines import report, some_have_a_card, training_machine
from finetune_app.operations.management.commands import up

pytestmark = pytest.mark.django_db
CARDS = [
    GraphicsCard("L4", 24 * GB, 20 * GB, "GPU-a"),
    GraphicsCard("L4", 24 * GB, 6 * GB, "GPU-b"),
]


def machine(card: GraphicsCard | None) -> Machine:
    return Machine(8, 64 * GB, 60 * GB, GB, card, "its processor")


class Started:
    """What `up` would start, by name."""

    def __init__(self) -> None:
        self.processes: dict[str, tuple[list[str], dict[str, str]]] = {}

    def add(self, name, command, **environment):
        self.processes[name] = (command, environment)


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.mark.parametrize("cards", [[], CARDS[:1]])
def test_up_to_one_card_there_is_one_worker_with_all_of_the_machine(started, monkeypatch, cards):
    monkeypatch.setattr(up, "graphics_cards", lambda: cards)
    up.add_heavy_workers(started)
    assert list(started.processes) == ["heavy"]
    assert started.processes["heavy"][1] == {"FINETUNE_LANE": "heavy"}


def test_two_cards_have_a_worker_each_and_are_never_shared(started, monkeypatch):
    monkeypatch.setattr(up, "graphics_cards", lambda: CARDS)
    up.add_heavy_workers(started)
    seen = [env["CUDA_VISIBLE_DEVICES"] for _command, env in started.processes.values()]
    assert seen == ["GPU-a", "GPU-b"]
    names = [command[command.index("-n") + 1] for command, _env in started.processes.values()]
    assert names == ["heavy-1@%h", "heavy-2@%h"]


@pytest.mark.parametrize(
    ("each", "seen"), [("2", ["GPU-a,GPU-b", "GPU-c"]), ("3", [None]), ("8", [None])]
)
def test_a_worker_may_have_several_cards(started, monkeypatch, each, seen):
    third = GraphicsCard("L4", 24 * GB, GB, "GPU-c")
    monkeypatch.setattr(up, "graphics_cards", lambda: [*CARDS, third])
    monkeypatch.setenv("CARDS_PER_WORKER", each)
    up.add_heavy_workers(started)
    found = [env.get("CUDA_VISIBLE_DEVICES") for _command, env in started.processes.values()]
    assert found == seen


def test_a_wrong_number_of_cards_ends_the_start_with_a_sentence(started, monkeypatch):
    monkeypatch.setenv("CARDS_PER_WORKER", "0")
    with pytest.raises(ImproperlyConfigured, match="CARDS_PER_WORKER is '0'"):
        up.add_heavy_workers(started)


def works_with(monkeypatch, card: GraphicsCard | None) -> None:
    """The worker of this card reports."""
    monkeypatch.setattr(worker_machines, "this_machine", lambda folder: machine(card))
    monkeypatch.setattr(worker_machines, "graphics_cards", lambda: [card] if card else [])
    report()


def test_each_worker_reports_its_card_and_the_fuller_one_counts(monkeypatch):
    for card in CARDS:
        works_with(monkeypatch, card)
    assert WorkerMachine.objects.count() == 2
    # The web sees both cards, and by itself would speak of the first.
    monkeypatch.setattr(worker_machines, "graphics_cards", lambda: CARDS)
    monkeypatch.setattr(worker_machines, "this_machine", lambda folder: machine(CARDS[0]))
    assert training_machine().available_bytes == 6 * GB


def test_a_job_that_needs_a_card_is_left_by_a_worker_without_one(team):
    needing = services.create(team=team, kind="training", title="L", spec={}, needs_card=True)
    other = services.create(team=team, kind="training", title="L", spec={})
    taken = [lease.take_next(heavy=True, worker="a:1:1", card_bytes=0) for _ in range(2)]
    assert taken == [other, None]
    assert lease.take_next(heavy=True, worker="b:1:1", card_bytes=24 * GB) == needing


def needs(team, card_bytes: int) -> Job:
    return services.create(
        team=team, kind="training", title="L", spec={}, needs_card=True, card_bytes=card_bytes
    )


def test_a_job_that_has_no_room_on_a_card_is_left_to_a_larger_one(team, monkeypatch):
    small, large = 24 * GB, 80 * GB
    for size, name in ((small, "GPU-a"), (large, "GPU-b")):
        works_with(monkeypatch, GraphicsCard("card", size, size, name))
    first, second = needs(team, 40 * GB), needs(team, 10 * GB)
    assert lease.take_next(heavy=True, worker="a:1:1", card_bytes=small) == second
    assert lease.take_next(heavy=True, worker="a:1:1", card_bytes=small) is None
    taken = lease.take_next(heavy=True, worker="b:1:1", card_bytes=large)
    assert taken == first
    assert taken.worker_card_bytes == large


def test_where_no_card_is_large_enough_any_may_take_it(team, monkeypatch):
    works_with(monkeypatch, CARDS[0])
    job = needs(team, 40 * GB)
    assert lease.take_next(heavy=True, worker="a:1:1", card_bytes=24 * GB) == job


def test_a_training_is_planned_for_the_largest_card(monkeypatch):
    large = GraphicsCard("A100", 80 * GB, 70 * GB, "GPU-c")
    for card in (*CARDS, large):
        works_with(monkeypatch, card)
    monkeypatch.setattr(worker_machines, "graphics_cards", lambda: [*CARDS, large])
    assert training_machine().card == large


def test_a_training_is_planned_for_the_card_that_will_take_it(monkeypatch):
    roomless = replace(machine(None), free_bytes=GB)
    WorkerMachine.objects.create(
        host="processor only", machine=roomless.as_json(), reported_at=timezone.now()
    )
    works_with(monkeypatch, CARDS[0])
    assert training_machine().card == CARDS[0]


def test_a_worker_without_a_card_has_none_though_its_machine_has_one(monkeypatch):
    works_with(monkeypatch, None)
    monkeypatch.setattr(worker_machines, "graphics_cards", lambda: CARDS)
    monkeypatch.setattr(worker_machines, "this_machine", lambda folder: machine(CARDS[0]))
    assert not some_have_a_card()


def test_whoever_needs_no_card_is_not_behind_those_who_do(team, monkeypatch):
    for _ in range(3):
        services.create(team=team, kind="training", title="L", spec={}, needs_card=True)
    job = services.create(team=team, kind="evaluation", title="T", spec={})
    assert waiting_headline(job) == "Waiting: 3 are before it"
    works_with(monkeypatch, None)
    assert waiting_headline(job) == "About to start"


def test_its_page_says_that_it_waits_for_a_card(team, monkeypatch):
    job = services.create(team=team, kind="training", title="L", spec={}, needs_card=True)
    assert waiting_headline(job) == "Waiting for a graphics card"
    assert likely_start(job) is None
    works_with(monkeypatch, CARDS[0])
    assert waiting_headline(job) == "About to start"


def test_stop_and_continue_no_longer_waits_for_a_card_that_has_gone(team, monkeypatch):
    works_with(monkeypatch, CARDS[0])
    job = services.create(team=team, kind="training", title="L", spec={}, needs_card=True)
    for there in (True, False):
        if not there:
            WorkerMachine.objects.update(reported_at=timezone.now() - worker_machines.FRESH)
        assert some_have_a_card() == there
        Job.objects.update(state=State.STOPPED)
        assert services.ask_continue(job)
        job.refresh_from_db()
        assert job.needs_card == there
