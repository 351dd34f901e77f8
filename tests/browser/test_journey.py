"""The main job, end to end, as a person does it: from the set-up code to a model proven better.

Everything is real: `manage.py up` with its workers and its engine, Chromium, the starter model.
"""

import re
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests import starter
from tests.browser.person import Person, seconds_since
from tests.installation import Installation
from tests.worker.conftest import wait_for

EMAIL = (
    "Hi there, my pannier rack came loose on the way home and one of the bolts is gone. "
    "Could you send me a new one? Order 4471. Thanks, Priya"
)


@pytest.mark.timeout(2400)
def test_from_the_set_up_code_to_a_model_proven_better(installation, new_context, tmp_path):
    began = time.monotonic()
    mara = Person.arrives(new_context(), installation.address)
    mara.signs_up()
    mara.click("Try it with sample data")

    clicked = time.monotonic()
    mara.trains(passes=3)  # quicker than to the end; the long journeys go there
    wait_for(lambda: first_step(installation), seconds=300)
    print(f"\nclick to first training step: {seconds_since(clicked):.1f} s")
    mara.sees_it_learn()
    mara.photograph("training")

    mara.closes_the_page()
    mara.opens(installation.address.split("/set-up")[0])
    mara.click("Watch", where=".goals")
    mara.sees_it_learn()
    mara.waits_until_trained(minutes=20)
    print(f"sign-up to trained: {seconds_since(began):.0f} s")

    mara.evaluates(minutes=15)
    print(f"sign-up to verdict: {seconds_since(began):.0f} s")
    level, words = mara.verdict()
    right = mara.right()
    print(words, *(f"{name}: {share:.0%} right" for name, share in right.items()), sep="\n")
    print(mara.reads("#conclusion"))
    mara.photograph("side-by-side")
    assert "With a good prompt" in right

    base, tuned = mara.asks(EMAIL)
    assert base
    assert tuned
    assert base != tuned
    mara.photograph("chat")

    download = mara.downloads_the_adapter()
    assert download.suggested_filename.endswith(".zip")
    download.save_as(tmp_path / "adapter.zip")
    assert plain_peft_learned_something(tmp_path)

    assert installation.files_of_goals()
    mara.deletes_the_goal()
    wait_for(lambda: not installation.files_of_goals(), seconds=30)
    expect(mara.page.locator(".goals")).to_have_count(0)

    # Last, so that a result that is not good enough hides nothing else.
    assert right["Base model"] <= 0.2
    assert right["Tuned"] >= 0.8
    # It beats the base model by far. Looking up the nearest example is right on 39 of 60, so
    # whether 60 prompts show that it beats that, too, is close.
    unproven = level == "too_few_to_tell" and "perhaps not than looking up" in words
    assert level == "consistently_better" or unproven, words


def first_step(installation: Installation) -> bool:
    """Read beside the app, because a page that looks every two seconds is too slow a clock."""
    file = next(installation.data_dir.glob("*.sqlite3"))
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        return bool(database.execute("SELECT 1 FROM jobs_job WHERE done >= 1").fetchone())


PLAIN_PEFT = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base_folder, adapter = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(adapter)
asked = [{"role": "user", "content": "My chain is rusty. What should I do?"}]
ids = tokenizer.apply_chat_template(
    asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
)["input_ids"]
base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
with torch.no_grad():
    before = base(ids).logits
    after = PeftModel.from_pretrained(base, adapter)(ids).logits
print("moved by", float((after - before).abs().max()))
"""


def plain_peft_learned_something(folder: Path) -> bool:
    """Load the download without a line of ours, as its README says."""
    with zipfile.ZipFile(folder / "adapter.zip") as packed:
        packed.extractall(folder / "download")
    weights = next((folder / "download").rglob("adapter_model.safetensors"))
    command = [sys.executable, "-c", PLAIN_PEFT, str(starter.FOLDER), str(weights.parent)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    moved = re.search(r"moved by ([\d.e+-]+)", done.stdout)
    return moved is not None and float(moved.group(1)) > 0.1
