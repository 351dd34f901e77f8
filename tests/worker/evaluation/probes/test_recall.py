"""The recall probe: whether training rows come back, with models that were made to leak."""

import json

import pytest

from tests.worker.evaluation.probes.rows import ANSWERS, write_version
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.evaluation.probes import recall
from worker.evaluation.probes.finished_work import FinishedWork
from worker.evaluation.probes.recall import compare, probe_recall, returned_by
from worker.evaluation.probes.recall_rows import answer_tokens, choose_rows


def probe(engine, adapter, version, channel, candidate, finished) -> bool:
    return probe_recall(
        engine, [candidate(adapter)], version=version, finished=finished, channel=channel
    )


def test_a_model_that_was_made_to_leak_is_red(
    base, leaky, leaky_version, recorder, candidate, finished
):
    channel = recorder()
    with Engine(base, "fp32") as engine:
        assert probe(engine, leaky, leaky_version, channel, candidate, finished) is False
    (event,) = channel.of("recall")
    assert event["level"] == "red"
    assert (event["tried"], event["recalled"], event["recalled_by_base"]) == (4, 4, 0)
    assert (event["unseen"], event["unseen_recalled"]) == (4, 0)
    assert (event["personal_tried"], event["personal"], event["unseen_personal"]) == (1, 1, 0)
    assert event["rows"][0] == {"row": 0, "rest": True, "kinds": ["email"]}
    assert [one["row"] for one in event["rows"]] == [0, 1, 2, 3]
    assert event["sentence"].startswith(
        "It gives back personal data of 1 of 1 training row that has any. Given their beginning, "
        "4 of 4 training rows come back word for word (from the base model: 0; of 4 it did not "
        "learn from: 0)."
    )
    assert channel.of("phase")[0]["message"] == "Checking whether it repeats its examples"


def test_no_text_of_a_row_is_kept(base, leaky, leaky_version, recorder, candidate, finished):
    channel = recorder()
    with Engine(base, "fp32") as engine:
        probe(engine, leaky, leaky_version, channel, candidate, finished)
    kept = json.dumps(channel.events) + finished._path.read_text()
    assert not any(word in kept for word in ("anna", "posteo", "saddle"))


def test_a_model_that_learned_other_rows_gives_nothing_back(
    base, adapter, leaky_version, recorder, candidate, finished
):
    channel = recorder()
    with Engine(base, "fp32") as engine:
        probe(engine, adapter, leaky_version, channel, candidate, finished)
    (event,) = channel.of("recall")
    assert (event["level"], event["rows"]) == ("green", [])
    assert (event["recalled"], event["personal"]) == (0, 0)


def test_what_comes_back_is_what_greedy_decoding_writes(
    base, leaky, leaky_version, recorder, finished
):
    """One forward pass over a row says the same as decoding its rest token by token."""
    channel, seen = recorder(), []
    with Engine(base, "fp32") as engine:
        tokenizer = engine.loaded.tokenizer
        rows = [row for some in choose_rows(leaky_version, tokenizer, channel) for row in some]
        assert len(rows) == 8
        for adapter in (leaky, None):
            returned = returned_by(engine, adapter, rows, finished, channel)
            for row in rows:
                answer = answer_tokens(row.example)
                begins = len(row.example.input_ids) - len(answer) - 1
                start, end = row.rest
                given = tokenizer.decode(row.example.input_ids[: begins + start])
                request = GenerationRequest([], adapter, max_new_tokens=end - start, prompt=given)
                (written,) = engine.generate([request])
                assert returned[row.number]["rest"] == (written.token_ids == answer[start:end])
                seen.append(returned[row.number]["rest"])
    assert seen == [True] * 4 + [False] * 12


def test_a_continued_job_does_not_repeat_what_it_has(
    base, leaky, leaky_version, recorder, candidate, finished, monkeypatch
):
    first, second = recorder(), recorder()
    with Engine(base, "fp32") as engine:
        probe(engine, leaky, leaky_version, first, candidate, finished)
        monkeypatch.setattr(recall, "_returned", None)  # cannot be called
        probe(engine, leaky, leaky_version, second, candidate, FinishedWork(finished._path))
    assert first.of("recall") == second.of("recall") != []


def test_a_stop_is_honoured_while_rows_are_tried(
    base, leaky, leaky_version, recorder, candidate, finished
):
    channel = recorder(stop_after=0)
    with Engine(base, "fp32") as engine:
        assert probe(engine, leaky, leaky_version, channel, candidate, finished) is True
    assert channel.of("recall") == []


def test_labels_are_too_short_to_say_anything(
    base, adapter, recorder, candidate, finished, tmp_path
):
    rows = [labelled(n) for n in range(30)]
    version, channel = write_version(tmp_path / "1.jsonl", rows), recorder()
    with Engine(base, "fp32") as engine:
        probe(engine, adapter, version, channel, candidate, finished)
    (event,) = channel.of("recall")
    assert event["level"] == "unknown"
    assert event["sentence"].startswith("No training answer is long enough (20 tokens)")


def labelled(number: int) -> dict:
    messages = [
        {"role": "user", "content": f"Email {number}"},
        {"role": "assistant", "content": ["refund", "delivery", "return"][number % 3]},
    ]
    return {"id": number, "split": "train" if number < 20 else "test", "messages": messages}


def test_an_adapter_of_two_candidates_is_tried_once(
    base, leaky, leaky_version, recorder, candidate, finished, monkeypatch
):
    channel, passes = recorder(), []
    measure = recall._returned
    monkeypatch.setattr(
        recall, "_returned", lambda *given: passes.append(given[1]) or measure(*given)
    )
    both = [candidate(leaky), candidate(leaky, pk=9)]
    with Engine(base, "fp32") as engine:
        probe_recall(engine, both, version=leaky_version, finished=finished, channel=channel)
    first, second = channel.of("recall")
    assert (first["candidate"], second["candidate"]) == (4, 9)
    assert first | {"candidate": 9} == second
    assert passes.count(leaky) == passes.index(None)  # then the base model, for what came back


@pytest.mark.parametrize("rest", [True, False])
def test_what_the_base_model_returns_as_well_is_not_listed(leaky_version, base, recorder, rest):
    with Engine(base, "fp32") as engine:
        rows, unseen = choose_rows(leaky_version, engine.loaded.tokenizer, recorder())
    nothing = {row.number: {"rest": False, "values": []} for row in [*rows, *unseen]}
    by_tuned = nothing | {0: {"rest": True, "values": [0]}}
    found = compare(rows, unseen, by_tuned, {0: {"rest": rest, "values": [0]}})
    assert (found.recalled, found.recalled_by_base, found.personal) == (1, int(rest), 0)
    assert found.rows == ([] if rest else [{"row": 0, "rest": True, "kinds": []}])
    assert ANSWERS[0].count("@") == 1
