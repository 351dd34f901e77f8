"""The job: what it reads, what it leaves alone, and that no event tells a prompt."""

import json

import pytest

from tests.worker.drift.prompts import THINGS, made_up
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job
from worker.drift.run import run


@pytest.fixture
def compare(tmp_path):
    """compare(prompts by split, live prompts) is (what came of it, all its events as text)."""

    def go(by_split: dict[str, list[str]], live: list[str]) -> tuple[dict, str]:
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
        learns = sum(len(by_split.get(split, [])) for split in ("train", "validation"))
        spec = {
            "version": str(path),
            "splits": ["train", "validation"],
            "examples": learns,
            "live": [[100 + n, prompt] for n, prompt in enumerate(live)],
            "max_characters": 2000,
        }
        channel = RecordingChannel()
        return run(Job("drift", tmp_path, spec), channel), json.dumps(channel.events)

    return go


def test_other_things_are_found_and_the_requests_named(compare):
    live = made_up(60, ["battery", "charger", "display"], 2)
    live[9] = "Combien de temps cuit le gratin"
    found, events = compare({"train": made_up(150, THINGS, 1)}, live)
    assert found["drifted"]
    assert found["odd"][0][0] == 109
    assert found["newest"] == 159
    assert {"battery", "charger"} <= set(found["new_words"])
    assert "gratin" not in found["new_words"]  # one person's word
    for word in ("battery", "gratin", "saddle"):
        assert word not in events


def test_test_prompts_are_not_read(compare):
    """Sealed until an evaluation: what is asked now looks like them, and that is still drift."""
    things = ["battery", "charger", "display"]
    found, _events = compare(
        {"train": made_up(150, THINGS, 1), "test": made_up(200, things, 3)}, made_up(60, things, 2)
    )
    assert found["drifted"]
    assert found["learned"] == 150


def test_what_was_taken_out_of_live_prompts_is_no_difference(compare):
    """Live prompts are kept as “mail [email]”; what it learned from has addresses in it."""
    learned = [
        f"{one}, mail ann{n}@kettle-lane.co.uk" for n, one in enumerate(made_up(150, THINGS, 1))
    ]
    live = [f"{one}, mail [email]" for one in made_up(80, THINGS, 2)]
    found, _events = compare({"train": learned}, live)
    assert not found["drifted"]


def test_a_large_version_is_thinned_evenly(compare):
    found, _events = compare(
        {"train": made_up(2600, THINGS, 1), "validation": made_up(1500, ["saddle"], 3)},
        made_up(40, THINGS, 2),
    )
    assert 1300 < found["learned"] <= 2000


def test_too_few_are_a_result_without_a_finding(compare):
    found, _events = compare({"train": made_up(10, THINGS, 1)}, made_up(40, THINGS, 2))
    assert found == {"newest": 139, "learned": 10, "live": 40}
