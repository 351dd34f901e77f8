"""Candidates whose weights are rounded to 8 bits have an engine of their own."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune_app.core.openvino_installation import openvino_is_used
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.evaluation import number_formats
from worker.evaluation.candidate_runner import by_engine
from worker.evaluation.inputs import Candidate, read_candidates
from worker.evaluation.number_formats import NumberFormats, open_engine
from worker.evaluation.run import run

BASE = Path("/data/models/tiny")


def candidate(pk: int, number_format: str, **given) -> Candidate:
    spec = {"id": pk, "name": "base", "base_model": str(BASE), "adapter": None}
    return read_candidates([spec | {"number_format": number_format} | given])[0]


@pytest.fixture
def loaded(monkeypatch) -> list[tuple[Path, str]]:
    """What was loaded, in which number format; "auto" means bf16."""
    found = []

    def load_engine(base, number_format):
        found.append((base, number_format))
        return SimpleNamespace(number_format=number_format.replace("auto", "bf16"))

    monkeypatch.setattr(number_formats, "load_engine", load_engine)
    return found


def test_one_engine_for_each_rounding_and_one_for_all_others():
    formats = ("", "int8", "bf16", "nf4", "int8", "fp32")
    groups = by_engine([candidate(pk, one) for pk, one in enumerate(formats)])
    assert [[one.id for one in group] for group in groups] == [[0, 2, 5], [1, 4], [3]]


@pytest.mark.parametrize("rounded", ["int8", "nf4"])
def test_the_engine_is_loaded_in_their_format_and_the_other_in_its_own(tmp_path, loaded, rounded):
    formats = NumberFormats(tmp_path)
    plain, other = candidate(1, ""), candidate(2, rounded)
    assert open_engine([other], formats).number_format == rounded
    open_engine([plain], formats)
    assert loaded == [(BASE, rounded), (BASE, "auto")]
    assert (formats.of(plain), formats.of(other)) == ("bf16", rounded)


def test_a_continued_job_goes_on_in_the_same_formats(tmp_path, loaded):
    plain, rounded = candidate(1, ""), candidate(2, "int8")
    for group in ([plain], [rounded]):
        open_engine(group, NumberFormats(tmp_path))
    again = NumberFormats(tmp_path)
    assert (again.of(plain), again.of(rounded)) == ("bf16", "int8")


def test_a_model_that_was_tuned_whole_is_rounded_too(tmp_path, loaded):
    own = Path("/data/runs/7/model")
    whole = candidate(2, "int8", base_model=str(own), tuned_from=str(BASE))
    assert [len(group) for group in by_engine([candidate(1, "int8"), whole])] == [1, 1]
    open_engine([whole], NumberFormats(tmp_path))
    assert loaded == [(own, "int8")]


BEGINNING = 4  # of the answers, in letters; further on, a batch of another size may round otherwise


@pytest.fixture
def one_graph(monkeypatch):
    """Each step is computed by the same graph of OpenVINO: the likeliest tokens of a random model
    are nearly as likely as others, and another graph rounds otherwise."""
    if openvino_is_used():
        requests = "worker.engine.openvino.infer_requests.StepRequests"
        monkeypatch.setattr(f"{requests}._begin", lambda *_: None)


def test_a_whole_test_in_8_bits_is_of_the_model_that_is_served(
    job, base, adapter, recorder, one_graph
):
    spec = job.spec | {"general": True, "learned_from": job.spec["version"]}
    spec["candidates"] = [one | {"number_format": "int8"} for one in spec["candidates"]]
    channel = recorder()
    result = run(replace(job, spec=spec), channel)
    assert result["number_formats"] == {"3": "int8", "4": "int8", "6": "int8"}
    assert [len(channel.of(check)) for check in ("general", "refusals", "recall")] == [1, 1, 1]
    asked = [{"role": "user", "content": "Message xx"}]  # row 12
    with Engine(base, "int8") as engine:  # as it serves
        for candidate, weights in ((3, None), (4, adapter)):
            served = engine.generate([GenerationRequest(asked, weights, max_new_tokens=12)])[0]
            answers = [one for one in channel.of("answer") if one["candidate"] == candidate]
            answer = next(one["text"] for one in answers if one["row"] == 12)
            assert served.text[:BEGINNING] == answer[:BEGINNING]
