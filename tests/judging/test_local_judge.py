"""A base model of this machine judges, in a real child process; random weights are refused."""

import pytest

from finetune_app.jobs.models import State
from finetune_app.judging import presenters
from tests import journey
from tests.judging.conftest import start
from tests.worker.conftest import supervise
from tests.worker.engine.tiny_models import make_base
from worker.channel import UserError
from worker.engine.requests import Completion, PromptTooLong
from worker.judging.run import choice_of


@pytest.mark.one_database
def test_a_base_model_of_this_machine_judges(transactional_db, tested, data_dir):
    model = journey.install("local-judge")
    model.files = {}
    model.save()
    make_base(data_dir / model.folder, "llama")
    run = start(tested, model)
    job = supervise(run.job)
    assert job.state == State.SUCCEEDED, job.detail
    run.refresh_from_db()
    assert run.answers.exists()
    assert not presenters.opinion_of(run).passed
    assert run.result["split"] is None


def completion(*tokens: tuple[str, float], text: str = "x") -> Completion:
    top = [{"token": token, "logprob": logprob, "bytes": []} for token, logprob in tokens]
    logprobs = [{"token": text, "logprob": -1.0, "bytes": [], "top_logprobs": top}] if top else []
    return Completion(text, 1, "length", 0.1, logprobs=logprobs)


def test_the_likeliest_letter_is_its_answer_whatever_else_it_would_rather_say():
    assert choice_of(completion(("The", -0.1), (" B", -2.0), ("A", -3.0), ("T", -4.0))) == "B"
    assert choice_of(completion(("T", -2.0), ("A", -3.0))) == "T"


def test_where_no_letter_is_likely_there_is_no_answer():
    assert choice_of(completion(("The", -0.1), ("I", -2.0))) == "none"
    assert choice_of(PromptTooLong("too long")) == "none"


def test_what_a_remote_model_wrote_is_read_strictly():
    assert choice_of(completion(text="A")) == "A"
    assert choice_of(completion(text="A, I think")) == "none"


def test_any_other_error_ends_the_job():
    with pytest.raises(UserError):
        choice_of(UserError("bad_model", "broken"))
