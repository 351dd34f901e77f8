"""The preset file names settings that exist, with values that the spec accepts, and says why."""

import tomllib
from dataclasses import fields
from itertools import pairwise

import pytest

from finetune_app.basemodels.automatic_settings import PRESETS, automatic_settings, presets
from worker.training.spec import TrainingSpec

KINDS = list(tomllib.loads(PRESETS.read_text("utf-8")))
KNOWN = {field.name for field in fields(TrainingSpec)}
PATHS = {"base_model": "models/starter", "version": "version.jsonl"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_preset_is_a_setting_with_a_sentence(kind):
    for preset in presets(kind):
        assert preset.name in KNOWN
        assert preset.why.endswith(".")
        assert preset.why[0].isupper()


def test_every_preset_is_commented():
    """A number that nobody explains is changed by nobody."""
    lines = PRESETS.read_text("utf-8").splitlines()
    bare = [
        line
        for before, line in pairwise(lines)
        if line.startswith("[") and not before.startswith("#")
    ]
    assert bare == []


@pytest.mark.parametrize("method", ["supervised", "dpo"])
@pytest.mark.parametrize("tuning", ["lora", "qlora", "full"])
def test_the_spec_accepts_the_automatic_settings(method, tuning):
    found = automatic_settings(300, 200, 576, method, tuning)
    spec = TrainingSpec.from_json(found.settings | PATHS | {"method": method, "tuning": tuning})
    assert spec.patience == 3
    assert found.settings.keys() == found.reasons.keys()
