"""Any file ends in rows or in a UserError; what the page gets of it stays small."""

import contextlib
import json
import resource

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.channel import UserError
from worker.imports.inspect import inspect_file

STARTS = (
    b"",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PAR1",
    b"PARE",
    b"\xd0\xcf\x11\xe0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"[",
    b'{"a":',
    b'{"prompt": "a"}\n',
    b'"',
    b"a,b\n",
    b"\x1f\x8b",
    b"messages\n",
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=400), times=st.integers(1, 30))
def test_any_bytes_give_rows_or_a_user_error(import_file, start, rest, times):
    with contextlib.suppress(UserError):
        import_file(start + rest * times)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "role",
                            "content",
                            "messages",
                            "prompt",
                            "parts",
                            "from",
                            "value",
                            "history",
                            "system",
                        ]
                    )
                    | st.text(),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_json_gives_rows_or_a_user_error(import_file, rows):
    content = "\n".join(json.dumps(row) for row in rows)
    with contextlib.suppress(UserError):
        kept, result = import_file(content.encode(), "f.jsonl")
        assert len(kept) + result["rejected_count"] == result["rows"]


FIFTY_MB = b"x" * 50_000_000
LARGE = {
    "in a table": b"prompt,answer\nHello,Hi\nbig," + FIFTY_MB + b"\nBye,Take care\n",
    "in quotes": b'prompt,answer\nHello,Hi\nbig,"' + FIFTY_MB + b'"\nBye,Take care\n',
    "in JSON lines": b'{"prompt": "Hello", "answer": "Hi"}\n{"prompt": "big", "answer": "'
    + FIFTY_MB
    + b'"}\n{"prompt": "Bye", "answer": "Take care"}\n',
}


@pytest.mark.parametrize("case", LARGE)
def test_a_cell_of_fifty_megabytes_is_listed_and_the_rest_is_kept(import_file, case):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept, result = import_file(LARGE[case])
    assert [row["messages"][0]["content"] for row in kept] == ["Hello", "Bye"]
    assert [row["line"] for row in result["rejected"]] == [3 if case != "in JSON lines" else 2]
    assert "longer than" in result["rejected"][0]["reason"]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB: far less than twice the cell


def test_a_million_nested_brackets_are_listed(import_file):
    deep = "[" * 1_000_000 + "]" * 1_000_000
    good = '{"prompt": "Hello", "answer": "Hi"}'
    kept, result = import_file(f'{good}\n{{"prompt": "deep", "answer": {deep}}}\n{good}\n'.encode())
    assert len(kept) == 2
    assert [row["line"] for row in result["rejected"]] == [2]
    cell = "[" * 400_000
    kept, result = import_file(f"messages,answer\n{cell},a\nHello,Hi\n".encode())
    assert result["rows"] == 2


def test_the_inspection_of_large_rows_stays_small(stored, channel):
    chat = [
        {"role": "user", "parts": [{"text": "x" * 100_000}]},
        {"role": "model", "parts": [{"text": "y" * 100_000}]},
    ] * 3
    wide = {f"c{n}": [["z" * 100] * 30] for n in range(500)}
    content = "\n".join([json.dumps({"contents": chat} | wide)] * 30).encode()
    inspection = inspect_file(stored(content), "f.jsonl", {}, channel)
    assert len(json.dumps(inspection)) < 3_000_000


def test_inference_reads_few_large_rows(stored, channel):
    from worker.imports import inspect as module

    rows = iter([module.FileRow(n, {"a": "x" * 1_000_000}) for n in range(100)])
    assert len(module._first_rows(rows)) == 11
