"""Precision and recall of each check, on defects planted into real rows.

    python -m benchmarks.checks [--data FOLDER] [--seed 2026] [--rows 4000]
    python -m benchmarks.checks --time 100000

Real rows come from --data (nl2bash.csv, snips_json.jsonl, seed_tasks_alpaca.json; not part of this
repository). Of real rows that are similar by another measure (rapidfuzz's ratio of 85) one is kept,
so near-duplicates that a check finds beyond the planted ones are false. For each defect there are
also rows that only resemble it. Seeds below 100 are for developing a check; the table in
docs/benchmarks/checks.md comes from a seed that was not used before.
"""

import argparse
import csv
import json
import os
import random
import re
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp())

import django

django.setup()

from rapidfuzz import fuzz, process  # noqa: E402

from benchmarks.defects import foreign, private  # noqa: E402
from finetune_app.checks import row_scan  # noqa: E402
from finetune_app.checks import services as checks  # noqa: E402
from finetune_app.checks.near_duplicate_search import find_near_duplicates  # noqa: E402
from finetune_app.checks.rules.base import CheckContext, CheckRow, RowScan  # noqa: E402
from finetune_app.datasets.text import last_content, normalise, prompt_hash  # noqa: E402

Messages = list[dict[str, str]]
SPLITS = ["train"] * 7 + ["validation"] + ["test"] * 2
EACH = 300  # planted rows of each defect and file at most
REFUSING = (
    "I'm sorry, but I can't help with that.",
    "As an AI language model, I cannot do this.",
    "I cannot assist with this request.",
    "Unfortunately, I am unable to answer.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Lo siento, pero no puedo ayudarte.",
)
BLANK = ("N/A", "n/a", "-", "null", "TBD", "?", "NaN", "...")


@dataclass
class Planted:
    """A set of rows, and which of them (by pk) have which defect."""

    rows: list[CheckRow] = field(default_factory=list)
    expected: dict[str, set[int]] = field(default_factory=dict)
    either: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # not judged

    def add(self, conversation: Messages, split: str, defect: str = "") -> CheckRow:
        pk = len(self.rows) + 1
        row = CheckRow(
            pk,
            pk,
            last_content(conversation, "user"),
            last_content(conversation, "assistant"),
            split,
            prompt_hash(conversation),
            conversation,
        )
        self.rows.append(row)
        if defect:
            self.expected.setdefault(defect, set()).add(pk)
        return row


def conversation(prompt: str, answer: str) -> Messages:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def real_rows(data: Path) -> dict[str, list[Messages]]:
    with (data / "nl2bash.csv").open(encoding="utf-8") as file:
        bash = [conversation(one["request"], one["command"]) for one in csv.DictReader(file)]
    lines = (data / "snips_json.jsonl").read_text("utf-8").splitlines()
    snips = [json.loads(line)["messages"][1:] for line in lines]
    tasks = [
        conversation(f"{one['instruction']}\n{one['input']}".strip(), one["output"])
        for one in json.loads((data / "seed_tasks_alpaca.json").read_text("utf-8"))
    ]
    return {"nl2bash": bash, "snips": snips, "seed tasks": tasks}


def unlike(rows: list[Messages], most: int, dice: random.Random) -> list[Messages]:
    """Rows of which no two ask nearly the same, judged by rapidfuzz."""
    some = dice.sample(rows, min(len(rows), most))
    prompts = [normalise(last_content(one, "user")) for one in some]
    likeness = process.cdist(prompts, prompts, scorer=fuzz.ratio, score_cutoff=85, dtype=np.uint8)
    distinct: list[int] = []
    for at in range(len(some)):
        if not likeness[at, distinct].any():
            distinct.append(at)
    return [some[at] for at in distinct]


# --- planting ---------------------------------------------------------------------------


class Fresh:
    """Real rows, each used once: some unchanged, others with a planted defect."""

    def __init__(self, rows: list[Messages]) -> None:
        self._rows = rows

    def __call__(self) -> Messages:
        return self._rows.pop()


def plant(real: list[Messages], dice: random.Random) -> Planted:
    """Half of the rows are the set; defects are copies of some of them (each used once) or are
    written into rows of the other half."""
    dice.shuffle(real)
    planted = Planted()
    base = [planted.add(one, dice.choice(SPLITS)) for one in real[: len(real) // 2]]
    each = min(EACH, len(base) // 6)
    answers = [row.answer for row in base]
    copied = [row for row in base if len(row.prompt) >= 40]
    dice.shuffle(copied)
    tests = [row for row in copied if row.split == "test"][:each]
    others = [row for row in copied if row not in tests]
    for row in others[: each // 2]:
        planted.add(_padded(row.messages), row.split, "duplicates")
    for row in others[each // 2 : each + each // 2]:
        planted.add(_edited(row, dice), row.split, "near_duplicates")
    for row in others[each + each // 2 : 2 * each + each // 2]:
        other = dice.choice(answers)
        while fuzz.ratio(other, row.answer) >= 45 or normalise(other) == normalise(row.answer):
            other = dice.choice(answers)
        planted.add(
            [*row.messages[:-1], {"role": "assistant", "content": other}],
            row.split,
            "contradictions",
        )
    _leak(planted, tests, dice)
    fresh = Fresh([one for one in real[len(real) // 2 :] if not _PRIVATE.search(str(one))])
    _plant_private(planted, fresh, max(each // 3, 8), dice)
    _plant_words(planted, fresh, answers, max(each // 3, 8), dice)
    return planted


_PRIVATE = re.compile(r"@|\d{1,3}\.\d{1,3}\.\d|\d{5}|password|secret|token|key", re.I)


def _plant_private(planted: Planted, fresh: Fresh, each: int, dice: random.Random) -> None:
    for number in range(each):
        kind = list(private.PERSONAL)[number % len(private.PERSONAL)]
        planted.add(_with(fresh(), private.PERSONAL[kind](dice), dice), "train", "personal")
        planted.add(_with(fresh(), private.looks_personal(dice), dice), "train")
        planted.add(_with(fresh(), private.secret(dice), dice), "train", "secrets")
        planted.add(_with(fresh(), private.looks_secret(dice), dice), "train")


def _plant_words(
    planted: Planted, fresh: Fresh, answers: list[str], each: int, dice: random.Random
) -> None:
    for number in range(3 * each):
        language = dice.choice(("de", "fr", "es", "it"))
        text = f"{foreign.sentence(dice, language)} {number}{dice.randrange(10**6)}"
        planted.add(conversation(text, dice.choice(answers)), "train", "languages")
    for number in range(each):
        extra = f" {number}{dice.randrange(10**6)}"
        answer = dice.choice(answers)
        row = planted.add(conversation(foreign.mojibake(dice) + extra, answer), "train", "broken")
        planted.either["languages"].add(row.pk)  # whichever language that still is
        planted.add(conversation(foreign.rude(dice) + extra, answer), "train", "toxic")
        planted.add(conversation(foreign.sentence(dice, "en") + extra, answer), "train")
        planted.add(
            conversation(last_content(fresh(), "user"), dice.choice(BLANK)), "train", "blank_answer"
        )
        prompt = last_content(fresh(), "user")
        planted.add(conversation(prompt, f"{prompt} "), "train", "copied_answer")
        row = planted.add(
            conversation(last_content(fresh(), "user"), dice.choice(REFUSING)), "train", "refusals"
        )
        planted.either["languages"].add(row.pk)  # some refuse in another language


def _padded(messages: Messages) -> Messages:
    return [{**one, "content": f" {one['content']}\n"} for one in messages]


def _edited(row: CheckRow, dice: random.Random) -> Messages:
    """With one or two typing mistakes, or one more word."""
    text, rest = row.prompt, row.messages[:-2]
    for _ in range(1 + (len(text) > 120)):
        at = dice.choice(
            [
                at
                for at in range(5, len(text) - 5)
                if text[at] != text[at + 1]
                and not text[at : at + 2].isdigit()
                and text[at].isalpha()
            ]
        )
        swap = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        options = [
            f"{text}, thanks",
            f"{text} please",
            f"Hi, {text}",
            text[:at] + text[at + 1 :],
            swap,
        ]
        text = dice.choice(options)
    return [*rest, *conversation(text, row.answer)]


def _leak(planted: Planted, tests: list[CheckRow], dice: random.Random) -> None:
    """A test prompt, sometimes with a small change, in the part that is learned from. The finding
    names both rows; it is a repeat as well."""
    for row in tests:
        text = dice.choice((row.prompt, row.prompt + ".", row.prompt + " Thanks"))
        copy = planted.add(
            [*row.messages[:-2], *conversation(text, row.answer)], "train", "leakage"
        )
        planted.expected["leakage"].add(row.pk)
        same = "duplicates" if text == row.prompt else "near_duplicates"
        planted.expected[same].add(copy.pk)


def _with(messages: Messages, more: str, dice: random.Random) -> Messages:
    asked = last_content(messages, "user")
    prompt = dice.choice((f"{asked} {more}", f"{more} {asked}", f"{asked}\n{more}"))
    return conversation(prompt, last_content(messages, "assistant"))


# --- judging ----------------------------------------------------------------------------


def found_in(planted: Planted) -> dict[str, set[int]]:
    """pks that each check names; of repeated rows all but the first."""
    from worker.checks.toxicity_and_tokens import toxicity

    rows = planted.rows
    scans = [row_scan.scan(row.messages) for row in rows]
    rude = toxicity([row.messages for row in rows], [scan.language for scan in scans])
    seen = {
        row.pk: RowScan(scan.marks, scan.language, toxic)
        for row, scan, toxic in zip(rows, scans, rude, strict=True)
    }
    context = CheckContext("", {}, scans=seen, near_duplicates=find_near_duplicates(rows))
    found: dict[str, set[int]] = {"refusals": set(context.marked("refusals"))}
    for one in checks.run_rules(rows, context):
        if one.check in ("duplicates", "near_duplicates") or one.check == "contradictions":
            found[one.check] = {pk for group in one.groups for pk in group[1:]}
        elif one.check != "refusals":
            found[one.check] = set(one.examples)
    return found


def judge(planted: Planted, found: dict[str, set[int]], real: int) -> Iterator[tuple[Any, ...]]:
    """(check, planted, found, false, keys of the false ones)."""
    for check, expected in planted.expected.items():
        named = found.get(check, set())
        beyond = named - expected - planted.either[check]
        if check in ("personal", "secrets", "toxic"):
            # Findings in real rows were judged by hand; only planted look-alikes count here.
            beyond = {pk for pk in beyond if pk > real}
        yield check, len(expected), len(named & expected), len(beyond), sorted(beyond)


def table(data: Path, seed: int, most: int, show: bool) -> None:
    total: dict[str, list[int]] = {}
    for name, rows in real_rows(data).items():
        dice = random.Random(f"{seed}/{name}")
        real = unlike(rows, most, dice)
        planted = plant(real, dice)
        found = found_in(planted)
        own = len(real) // 2
        print(f"{name}: {own} real rows, {len(planted.rows)} with what was planted")
        for check, expected, hit, wrong, which in judge(planted, found, own):
            counts = total.setdefault(check, [0, 0, 0])
            counts[0] += expected
            counts[1] += hit
            counts[2] += wrong
            if show:
                missed = sorted(planted.expected[check] - found.get(check, set()))
                for what, pks in (("missed", missed[:4]), ("wrong", which[:4])):
                    for pk in pks:
                        row = planted.rows[pk - 1]
                        print(f"   {check} {what}: {row.prompt[:110]!r} -> {row.answer[:40]!r}")
    print(f"\nseed {seed}\n| check | planted | recall | precision |\n|---|---:|---:|---:|")
    for check, (expected, hit, wrong) in total.items():
        precision = hit / (hit + wrong) if hit + wrong else 0
        print(f"| {check} | {expected} | {hit / expected:.1%} | {precision:.1%} |")


# --- time -------------------------------------------------------------------------------


class Clock:
    """A channel that prints when a phase begins."""

    def __init__(self) -> None:
        self.started_at = time.perf_counter()

    def emit(self, event: str, **fields: Any) -> None:
        if event == "phase":
            self.say(fields["phase"])

    def say(self, what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        seconds, cpu_seconds = time.perf_counter() - self.started_at, time.process_time()
        print(f"{seconds:8.1f} s  {cpu_seconds:8.1f} s of work  {peak:6.0f} MB  {what}", flush=True)

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        pass


def many(data: Path, count: int, seed: int) -> Iterator[Messages]:
    """Real commands, then copies with a third of their words replaced."""
    dice, real = random.Random(seed), real_rows(data)["nl2bash"]
    words = sorted({word for one in real for word in last_content(one, "user").split()})
    for number in range(count):
        one = real[number % len(real)]
        prompt = last_content(one, "user")
        if number >= len(real):
            prompt = " ".join(
                word if dice.random() > 0.35 else dice.choice(words) for word in prompt.split()
            )
        yield conversation(prompt, last_content(one, "assistant"))


def timed(data: Path, count: int, seed: int) -> None:
    """The child of a thorough check, as a worker runs it."""
    from worker.channel import Job
    from worker.checks.run import run

    folder, dice = Path(tempfile.mkdtemp()), random.Random(seed)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for pk, messages in enumerate(many(data, count, seed), 1):
            line = [pk, pk, dice.choice(SPLITS), prompt_hash(messages), "", messages, "", None]
            file.write(json.dumps(line) + "\n")
    about = {"measure": "", "measure_settings": {}, "token_limit": None}
    clock = Clock()
    spec = {"rows": count, "about": about, "tokenizer": ""}
    print(run(Job("check", folder, spec), clock))  # type: ignore[arg-type]
    clock.say(f"all of {count:,} rows")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--rows", type=int, default=4_000, help="real rows of each file at most")
    parser.add_argument("--show", action="store_true", help="print what was missed or wrong")
    parser.add_argument("--time", type=int, default=0, help="only time so many rows")
    options = parser.parse_args(argv)
    if options.time:
        timed(options.data, options.time, options.seed)
    else:
        table(options.data, options.seed, options.rows, options.show)


if __name__ == "__main__":
    main()
