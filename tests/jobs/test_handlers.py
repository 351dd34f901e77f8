"""Apps register each kind of job once."""

from importlib.util import find_spec

import pytest
from django.core.exceptions import ValidationError

from finetune_app.jobs import handlers, services
from finetune_app.jobs.kinds import KINDS
from finetune_app.jobs.models import Job
from tests.worker.counting.handlers import CountingHandler, registered


def test_every_runner_is_a_module_of_the_worker():
    for kind in KINDS.values():
        assert kind.runner is None or (kind.runner.startswith("worker.") and find_spec(kind.runner))


def test_every_kind_name_fits_its_column():
    longest = Job._meta.get_field("kind").max_length
    assert all(len(name) <= longest for name in KINDS)


def test_registering_a_kind_twice_is_an_error():
    with registered(), pytest.raises(ValueError, match="registered twice"):
        handlers.register(CountingHandler())
    assert CountingHandler.kind.name not in KINDS


def test_creating_a_job_of_an_unknown_kind_is_rejected(team):
    with pytest.raises(ValidationError):
        services.create(team=team, kind="count-heavy", title="Count", spec={})
    assert not Job.objects.exists()
