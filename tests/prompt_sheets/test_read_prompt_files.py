"""Prompts are read from pasted text and from small files; what is not plain is refused."""

import json

import pytest
from django.core.exceptions import ValidationError

from finetune_app.prompt_sheets.limits import MAX_PROMPT_CHARACTERS, MAX_PROMPTS
from finetune_app.prompt_sheets.prompt_files import read_file, read_lines


def read(name: str, text: str) -> list[str]:
    return read_file(name, text.encode())


def refusal(name: str, content: bytes) -> str:
    with pytest.raises(ValidationError) as caught:
        read_file(name, content)
    return caught.value.message


def test_pasted_text_has_one_prompt_a_line():
    assert read_lines(" Is it ready?\r\n\r\nWhere is it?\n") == ["Is it ready?", "Where is it?"]
    assert read_lines(" \n") == []


def test_a_text_file_has_one_prompt_a_line_and_its_mark_is_no_part_of_it():
    assert read("mine.TXT", "\ufeffIs it ready?\nÜber uns?") == ["Is it ready?", "Über uns?"]


def test_a_table_is_read_by_the_name_of_its_column():
    table = 'id,Question,answer\n1,"Two lines,\nand a comma?",x\n2,Is it ready?,y\n3,,z\n'
    assert read("mine.csv", table) == ["Two lines,\nand a comma?", "Is it ready?"]
    assert read("mine.csv", "id;prompt\n1;Is it, now?\n") == ["Is it, now?"]
    assert read("mine.tsv", "prompt\tid\nIs it ready?\t1\n") == ["Is it ready?"]


def test_a_table_of_one_column_may_have_no_heading():
    assert read("mine.csv", "Is it ready?\nWell, is it?") == ["Is it ready?", "Well, is it?"]
    assert read("mine.csv", "prompt\nWell, is it?") == ["Well, is it?"]


def test_json_lines_are_texts_or_objects_with_a_prompt():
    lines = [{"prompt": "Is it\nready?", "id": 1}, "Where is it?", {"question": "a\u2028b"}]
    text = "\n".join(json.dumps(one, ensure_ascii=False) for one in lines) + "\n"
    assert read("mine.jsonl", text) == ["Is it\nready?", "Where is it?", "a\u2028b"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("mine.xlsx", b"PK", "Choose a .txt, .csv or .jsonl file."),
        ("mine", b"Is it ready?", "Choose a .txt, .csv or .jsonl file."),
        ("mine.txt", "Größe?".encode("cp1252"), "Save it as UTF-8"),
        ("mine.txt", b" \n", "There is no prompt in this file."),
        ("mine.csv", b"", "There is no prompt in this file."),
        ("mine.csv", b"prompt\n", "There is no prompt in this file."),
        ("mine.csv", b"id,mood\n1,good", "Rename the column that holds the prompts"),
        ("mine.csv", b"prompt\na\rb", "cannot be read as a table"),
        ("mine.csv", b"prompt\n" + b"x" * 100_000, "20,000 at most"),
        ("mine.jsonl", b'"fine"\nnot json', "Line 2 is not JSON"),
        ("mine.jsonl", b"[" * 100_000, "Line 1 is not JSON"),
        ("mine.jsonl", b'{"messages": []}', "Line 1 has no prompt"),
        ("mine.jsonl", b'{"prompt": 7}', "Line 1 has no prompt"),
        ("mine.jsonl", b'"half \\ud83d"', "half a character"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(name, content, says):
    assert says in refusal(name, content)


def test_too_many_or_too_long_prompts_are_refused_with_the_number():
    assert len(read("mine.txt", "x\n" * MAX_PROMPTS)) == MAX_PROMPTS
    assert "These are 201 prompts; 200 at most" in refusal("a.txt", b"x\n" * (MAX_PROMPTS + 1))
    long = f"short\n{'x' * (MAX_PROMPT_CHARACTERS + 1)}".encode()
    assert "Prompt 2 has 20,001 characters; 20,000 at most" in refusal("a.txt", long)


def test_a_zero_byte_which_no_database_keeps_is_left_out():
    assert read("mine.txt", "a\0b") == ["ab"]
