"""Bash that parses, and is never executed."""

import csv
import os
import subprocess
from pathlib import Path

import pytest

from finetune_app.goals.measures import get_measure

SAMPLES = Path(
    os.environ.get(
        "FINETUNE_DATA_DIR_SAMPLES", Path(__file__).resolve().parents[4] / "shared" / "data"
    )
)


def score(answer, wanted="ls -la /tmp", **settings):
    return get_measure("bash", settings).check(answer, wanted)


@pytest.mark.parametrize(
    "answer",
    [
        "ls",
        "ls -la | sort -k2 > out.txt",
        'for f in *.c; do wc -l "$f"; done',
        "find . -name '*.py' -exec grep -l TODO {} +",
        "cat <<EOF\nhello\nEOF",
        "diff <(sort a) <(sort b)",
        "[[ -f x ]] && echo $((1 + 2))",
        "x=1",
        "Rscript plot.R",
        "```bash\nls -l\n```",
    ],
)
def test_commands_parse(answer):
    assert score(answer).why == "Parses"


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("ls |", "Does not parse as bash"),
        ("echo 'open", "Does not parse as bash"),
        ("if true; then ls", "Does not parse as bash"),
        ("for f in *; do echo $f", "Does not parse as bash"),
        ("fi", "Does not parse as bash"),
        ("echo $(ls", "Does not parse as bash"),
        ("# only a remark", "Does not parse as bash"),
        ("ls \0", "Does not parse as bash"),
        ("", "Empty answer"),
        ("You can use the ls command to list files.", "Reads like a sentence, not a command"),
        ("To list files, run this:\n\nls -la", "Reads like a sentence, not a command"),
    ],
)
def test_invalid_bash_is_labelled(answer, label):
    assert score(answer).why == label
    assert not score(answer).passed


def test_no_command_is_executed(tmp_path, monkeypatch):
    trace = tmp_path / "trace"

    def refuse(*args, **kwargs):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(os, "system", refuse)
    for compare in ("parses", "same_command", "exact"):
        for answer in (f"touch {trace}", f"echo $(touch {trace})", f"`touch {trace}`"):
            assert score(answer, answer, compare=compare).passed
    assert not trace.exists()


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("ls -al /home", "Same programs and flags"),
        ("/bin/ls -l -a", "Same programs and flags"),
        ("ls /tmp", "Other flags for ls"),
        ("ls -la | wc -l", "Other programs than wanted"),
        ("dir -la", "Does not use ls"),
    ],
)
def test_programs_and_flags_are_compared(answer, label):
    assert score(answer, compare="same_command").why == label


def test_long_options_with_one_dash_are_not_split():
    wanted = "find . -name x -type f"
    assert score("find / -type f -name y", wanted, compare="same_command").passed
    assert not score("find / -mane y -type f", wanted, compare="same_command").passed
    assert score("du --max-depth=1", "du --max-depth 2", compare="same_command").passed


def test_exact_comparison_ignores_only_space_between_words():
    assert score("ls   -la   /tmp", compare="exact").passed
    assert not score("ls -al /tmp", compare="exact").passed
    assert not score('echo "a  b"', 'echo "a b"', compare="exact").passed
    assert score("ls", "ls |", compare="exact").why == "The wanted answer does not parse as bash"


def test_the_parser_agrees_with_bash_on_real_commands():
    """`bash -n` parses without executing; it is the reference, in this test only."""
    path = SAMPLES / "nl2bash.csv"
    if not path.exists():
        pytest.skip(f"no sample data at {path}")
    with path.open(newline="") as file:
        rows = [row["command"] for row in csv.DictReader(file)][::80]
    halves = [row[: len(row) * 2 // 3] for row in rows[::2]]
    agree = 0
    for command in rows + halves:
        ran = subprocess.run(["bash", "-n"], input=command.encode(), capture_output=True)
        agree += (ran.returncode == 0) == score(command).passed
    assert agree / len(rows + halves) >= 0.96
