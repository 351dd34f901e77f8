"""The job of a drift check: what it reads, and that no event contains a prompt."""

import json

import pytest

from tests.worker.drift.prompts import THINGS, random_prompts
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job
from worker.drift.run import run


@pytest.fixture
def compare(tmp_path):
    """compare(prompts by split, live prompts) runs the job: (result, all its events as text)."""

    def run_job(by_split: dict[str, list[str]], live: list[str]) -> tuple[dict, str]:
        path = tmp_path / "1.jsonl"
        rows = [
            {
                "id": n,
                "split": split,
                "messages": [
                    {"role": "system", "content": "Sort it."},
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": "repair_status"},
                ],
            }
            for split, prompts in by_split.items()
            for n, prompt in enumerate(prompts)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        examples = sum(len(by_split.get(split, [])) for split in ("train", "validation"))
        spec = {
            "version": str(path),
            "splits": ["train", "validation"],
            "examples": examples,
            "live": [[100 + n, prompt] for n, prompt in enumerate(live)],
            "max_characters": 2000,
        }
        channel = RecordingChannel()
        return run(Job("drift", tmp_path, spec), channel), json.dumps(channel.events)

    return run_job


def test_drift_is_found_and_the_odd_requests_are_named(compare):
    live = random_prompts(60, ["battery", "charger", "display"], 2)
    live[9] = "Combien de temps cuit le gratin"
    found, events = compare({"train": random_prompts(150, THINGS, 1)}, live)
    assert found["drifted"]
    assert found["odd"][0][0] == 109
    assert found["newest"] == 159
    assert {"battery", "charger"} <= set(found["new_words"])
    assert "gratin" not in found["new_words"]  # a word of one person
    for word in ("battery", "gratin", "saddle"):
        assert word not in events


def test_test_prompts_are_not_read(compare):
    """Live prompts are like the test prompts, and that is still drift."""
    things = ["battery", "charger", "display"]
    found, _events = compare(
        {"train": random_prompts(150, THINGS, 1), "test": random_prompts(200, things, 3)},
        random_prompts(60, things, 2),
    )
    assert found["drifted"]
    assert found["learned"] == 150


def test_redaction_is_no_difference(compare):
    """Live prompts contain “[email]”, training prompts real addresses."""
    learned = [
        f"{one}, mail ann{n}@kettle-lane.co.uk"
        for n, one in enumerate(random_prompts(150, THINGS, 1))
    ]
    live = [f"{one}, mail [email]" for one in random_prompts(80, THINGS, 2)]
    found, _events = compare({"train": learned}, live)
    assert not found["drifted"]


def test_a_large_version_is_sampled_evenly(compare):
    found, _events = compare(
        {
            "train": random_prompts(2600, THINGS, 1),
            "validation": random_prompts(1500, ["saddle"], 3),
        },
        random_prompts(40, THINGS, 2),
    )
    assert 1300 < found["learned"] <= 2000


def test_too_few_prompts_give_only_counts(compare):
    found, _events = compare(
        {"train": random_prompts(10, THINGS, 1)}, random_prompts(40, THINGS, 2)
    )
    assert found == {"newest": 139, "learned": 10, "live": 40}
