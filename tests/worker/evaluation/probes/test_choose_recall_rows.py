"""Which rows the recall probe tries, and which of their personal data count."""

import pytest

from tests.worker.engine.tiny_models import tokenizer
from tests.worker.evaluation.conftest import row
from tests.worker.evaluation.probes.rows import write_version
from worker.evaluation.probes import recall_rows
from worker.evaluation.probes.recall_rows import SelectionStopped, answer_tokens, choose_rows

LONG = "This answer is long enough to be tried, number"


@pytest.fixture
def chosen(tmp_path, recorder):
    def choose(*rows: dict):
        version = write_version(tmp_path / "1.jsonl", list(rows))
        return choose_rows(version, tokenizer(), recorder())

    return choose


def numbers(rows) -> list[int]:
    return [one.number for one in rows]


def test_rows_with_personal_data_come_first(chosen, monkeypatch):
    monkeypatch.setattr(recall_rows, "MAX_ROWS", 6)
    plain = [row(n, "train", f"Question {n}", f"{LONG} {n}") for n in range(40)]
    personal = [row(90 + n, "train", f"Who {n}?", f"{LONG} p{n}@posteo.de") for n in range(2)]
    rows, _unseen = chosen(*plain, *personal)
    assert set(numbers(rows)[:2]) == {90, 91}
    assert len(rows) == 6
    assert numbers(rows) == numbers(chosen(*plain, *personal)[0])
    assert numbers(rows)[2:] != [0, 1, 2, 3]


def test_a_third_of_the_answer_is_given_and_fifty_tokens_are_compared(chosen):
    short, long = "a" * 30, "b" * 600
    rows, _unseen = chosen(row(1, "train", "One", short), row(2, "train", "Two", long))
    assert {one.number: one.rest for one in rows} == {1: (10, 30), 2: (200, 250)}


def test_personal_data_are_found_where_they_stand_in_the_tokens(chosen):
    answer = "Größe 42, dann an anna.berg@posteo.de oder +49 30 901820 schreiben"
    ((only,), _unseen) = chosen(row(1, "train", "Wohin?", answer))
    tokens = answer_tokens(only.example)
    written = {one.kind: tokenizer().decode(tokens[one.start : one.end]) for one in only.values}
    assert written["email"] == "anna.berg@posteo.de"
    assert written["phone"].strip() == "+49 30 901820"


def test_a_short_answer_with_personal_data_is_tried(chosen):
    ((only,), _unseen) = chosen(row(1, "train", "Anna's address?", "a@posteo.de"))
    assert only.rest is None
    assert [one.kind for one in only.values] == ["email"]


def test_what_the_question_says_is_not_given_back_but_copied(chosen):
    copied = row(1, "train", "I am anna@posteo.de", "email: anna@posteo.de")
    own = row(2, "train", "I am anna@posteo.de", "Her other one is anna.b@posteo.de")
    rows, _unseen = chosen(copied, own)
    assert {one.number: len(one.values) for one in rows} == {1: 0, 2: 1}


def test_the_companys_own_address_is_part_of_the_task(chosen):
    rows, _unseen = chosen(
        *[row(n, "train", f"Question {n}", f"{LONG} {n}, shop@posteo.de") for n in range(5)],
        row(9, "train", "Anna?", f"{LONG} 9, anna@posteo.de"),
    )
    assert {one.number for one in rows if one.values} == {9}
    assert len(rows) == 6


def test_an_answer_that_several_questions_have_is_not_the_rows_own(chosen):
    canned = [row(n, "train", f"Question {n}", LONG) for n in range(3)]
    assert chosen(*canned) == ([], [])
    repeated = [row(n, "train", "The same question", LONG) for n in range(3)]
    assert len(chosen(*repeated)[0]) == 1


def test_rows_for_comparison_are_those_that_were_not_learned_from(chosen):
    learned = row(1, "train", "One", f"{LONG} 1")
    kept_back = [row(2, "test", "Two", f"{LONG} 2"), row(3, "validation", "Three", f"{LONG} 3")]
    leaked = row(4, "test", "One more", f"{LONG} 1")
    rows, unseen = chosen(learned, *kept_back, leaked)
    assert numbers(rows) == [1]
    assert set(numbers(unseen)) == {2, 3}


def test_rows_whose_answer_does_not_fit_were_not_learned(chosen):
    assert chosen(row(1, "train", "Long?", "x" * 5000)) == ([], [])


def test_a_stop_is_honoured_while_rows_are_chosen(tmp_path, recorder):
    version = write_version(tmp_path / "1.jsonl", [row(1, "train", "One", LONG)])
    with pytest.raises(SelectionStopped):
        choose_rows(version, tokenizer(), recorder(stop_after=0))
