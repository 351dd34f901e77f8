"""A candidate with documents gets the passages retrieved for each prompt."""

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
def evaluation_with_documents(job, index):
    """The evaluation of `job` with one more candidate: the base model with documents."""

    def make(**knowledge):
        given = {"index": str(index), "count": 1, "whole": False} | knowledge
        candidate = job.spec["candidates"][0] | {
            "id": 5,
            "name": "rag",
            "grounded": True,
            "context_length": 4096,
            "knowledge": given,
        }
        return replace(
            job, spec=job.spec | {"candidates": [*job.spec["candidates"][:1], candidate]}
        )

    return make


def test_answer_events_name_passages_without_their_text(evaluation_with_documents, recorder):
    channel = recorder()
    run(evaluation_with_documents(whole=True), channel)
    passages = {a["row"]: a["passages"] for a in channel.of("answer") if a["candidate"] == 5}
    assert len(passages) == 4
    assert {passage["document"] for passage in passages[10]} == {1, 2}
    assert set(passages[10][0]) == {"document", "page", "at"}
    without_documents = [a["passages"] for a in channel.of("answer") if a["candidate"] == 3]
    assert without_documents == [[]] * 4
    assert "warranty" not in str(channel.events)


def test_passages_are_put_before_the_question(evaluation_with_documents, job, recorder):
    asked = evaluation_with_documents()
    candidates = read_candidates(asked.spec["candidates"])
    questions = read_test_rows(asked.folder.parent.parent / "1.jsonl")
    question = replace(
        questions[0],
        messages=[{"role": "user", "content": "How long is the warranty of the pump?"}],
    )
    retrieved = retrieve_passages(candidates, [question], recorder())
    assert list(retrieved) == [(5, question.row)], "other candidates get no passages"
    prompt = candidates[1].build_prompt(question.messages, retrieved[5, question.row])
    assert prompt.passages[0].name == "pump.md"
    assert "warranty" in prompt.messages[-1]["content"].split("How long")[0].lower()


def test_beside_a_long_question_documents_are_searched(evaluation_with_documents, recorder):
    """All of them are read, unless not all fit: then those that fit the question best."""
    asked = evaluation_with_documents(whole=True)
    candidates = read_candidates(asked.spec["candidates"])
    questions = read_test_rows(asked.folder.parent.parent / "1.jsonl")[:2]
    warranty = "How long is the warranty of the pump?"
    texts = [warranty, f"{warranty} " * 160]  # of 6,144 characters for all
    rows = [
        replace(one, messages=[{"role": "user", "content": text}])
        for one, text in zip(questions, texts, strict=True)
    ]
    found = retrieve_passages(candidates, rows, recorder())
    short, long = (found[5, row.row] for row in rows)
    assert {passage.name for passage in short} == {"pump.md", "shop.md"}
    assert [passage.name for passage in long] == ["pump.md"]


def test_a_missing_index_fails_the_job(evaluation_with_documents, recorder, tmp_path):
    channel = recorder()
    with pytest.raises(UserError, match="documents have changed"):
        run(evaluation_with_documents(index=str(tmp_path / "none")), channel)
    assert channel.of("answer") == []
