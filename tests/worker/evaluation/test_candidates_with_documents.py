"""A candidate with documents is shown the passages retrieved for each prompt."""

from dataclasses import replace

import pytest

from tests.worker.knowledge.conftest import PUMP, SHOP
from worker.channel import Job, UserError
from worker.evaluation.inputs import read_candidates, read_test_rows
from worker.evaluation.passages import retrieve_passages
from worker.evaluation.run import run
from worker.knowledge.run import run as read_documents


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Two documents with a real index."""
    from tests.worker.imports.conftest import Recorder

    folder = tmp_path_factory.mktemp("knowledge")
    documents = []
    for number, (name, text) in enumerate({"pump.md": PUMP, "shop.md": SHOP}.items(), start=1):
        (folder / str(number)).mkdir()
        (folder / str(number) / "upload").write_text(text)
        documents.append({"id": number, "name": name, "folder": str(folder / str(number))})
    spec = {"documents": documents, "questions": []}
    read_documents(Job("index", folder / "index-1", spec), Recorder())
    return folder / "index-1"


@pytest.fixture
def searching(job, index):
    """The evaluation of `job`, with the base model and documents as one more candidate."""

    def make(**knowledge):
        given = {"index": str(index), "count": 1, "whole": False} | knowledge
        one = job.spec["candidates"][0] | {
            "id": 5,
            "name": "rag",
            "grounded": True,
            "context_length": 4096,
            "knowledge": given,
        }
        return replace(job, spec=job.spec | {"candidates": [*job.spec["candidates"][:1], one]})

    return make


def test_answer_events_cite_passages_without_their_text(searching, recorder):
    channel = recorder()
    run(searching(whole=True), channel)
    told = {one["row"]: one["passages"] for one in channel.of("answer") if one["candidate"] == 5}
    assert len(told) == 4
    assert {passage["document"] for passage in told[10]} == {1, 2}
    assert set(told[10][0]) == {"document", "page", "at"}
    bare = [one["passages"] for one in channel.of("answer") if one["candidate"] == 3]
    assert bare == [[]] * 4
    assert "warranty" not in str(channel.events)


def test_passages_stand_before_the_question(searching, job, recorder):
    asked = searching()
    candidates = read_candidates(asked.spec["candidates"])
    questions = read_test_rows(asked.folder.parent.parent / "1.jsonl")
    question = replace(
        questions[0],
        messages=[{"role": "user", "content": "How long is the warranty of the pump?"}],
    )
    shown = retrieve_passages(candidates, [question], recorder())
    assert list(shown) == [(5, question.row)], "the others are shown nothing"
    composed = candidates[1].build_prompt(question.messages, shown[5, question.row])
    assert composed.passages[0].name == "pump.md"
    assert "warranty" in composed.messages[-1]["content"].split("How long")[0].lower()


def test_a_missing_index_fails_the_job(searching, recorder, tmp_path):
    channel = recorder()
    with pytest.raises(UserError, match="documents have changed"):
        run(searching(index=str(tmp_path / "none")), channel)
    assert channel.of("answer") == []
