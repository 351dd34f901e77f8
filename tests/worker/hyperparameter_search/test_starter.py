"""A real search on the starter, with sizes that take a minute."""

import json

import pytest

from finetune_app.hyperparameter_search.trials import trials_around
from tests.starter import FOLDER, needs_starter
from tests.worker.training.conftest import version  # noqa: F401
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job
from worker.hyperparameter_search.run import run

pytestmark = [needs_starter, pytest.mark.long, pytest.mark.timeout(900)]
SETTINGS = {"learning_rate": 1.3e-3, "rank": 4, "batch_size": 8, "replay_share": 0.125, "epochs": 2}


def test_the_starter_is_searched_and_a_winner_found(tmp_path, version):  # noqa: F811
    rows = [json.loads(line) for line in version.read_text().splitlines()]
    fewer = [row for row in rows if row["split"] != "train"] + rows[:24]
    version.write_text("".join(json.dumps(row) + "\n" for row in fewer))
    training = SETTINGS | {
        "base_model": str(FOLDER),
        "version": str(version),
        "measure": {"kind": "exact", "settings": {}},
        "max_new_tokens": 4,
    }
    trials = [changes for _name, changes in trials_around(SETTINGS)]
    channel = RecordingChannel()
    found = run(Job("search", tmp_path, {"training": training, "trials": trials}), channel)
    assert found["winner"] in range(len(trials))
    assert len(channel.of("trial")) == 11
    assert all(one["loss"] > 0 for one in channel.of("trial"))
