"""Import Parquet files, good and hostile."""

import contextlib
import datetime
import decimal
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worker.imports.files import parquet
from worker.channel import UserError
from worker.imports import limits
from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows

PAIR = {"prompt": ["Hello", "Bye"], "answer": ["Good morning", "Take care"]}


def test_rows_are_read_in_order(import_file, stored, channel):
    content = parquet(
        {"prompt": [f"Q{n}" for n in range(1000)], "answer": ["A"] * 1000}, row_group_size=300
    )
    kept, result = import_file(content, "rows.parquet")
    assert [row["messages"][0]["content"] for row in kept] == [f"Q{n}" for n in range(1000)]
    assert [row["line"] for row in kept] == list(range(1, 1001))
    assert result["rejected_count"] == 0
    shape = inspect_file(stored(content), "rows.parquet", {}, channel)["shape"]
    assert (shape["kind"], shape["format"], shape["encoding"]) == ("parquet", "parquet", "")


def test_conversations_are_kept_whole(import_file):
    chat = [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Take care"},
    ]
    kept, _result = import_file(parquet({"id": [1], "messages": [chat]}))
    assert kept[0]["messages"] == chat


VALUES = {
    "text": (pa.array(["00712"]), "00712"),
    "NA": (pa.array(["NA"]), "NA"),
    "whole": (pa.array([7]), "7"),
    "part": (pa.array([1.5]), "1.5"),
    "huge": (pa.array([2**63 - 1]), str(2**63 - 1)),
    "not a number": (pa.array([float("nan")]), "NaN"),
    "endless": (pa.array([float("inf")]), "Infinity"),
    "yes": (pa.array([True]), "true"),
    "money": (pa.array([decimal.Decimal("1.10")]), "1.10"),
    "day": (pa.array([datetime.date(2024, 1, 5)]), "2024-01-05"),
    "moment": (pa.array([datetime.datetime(2024, 1, 5, 14, 30)]), "2024-01-05 14:30:00"),
    "list": (pa.array([["a", "ä"]]), '["a", "ä"]'),
    "bytes": (pa.array([b"text"]), "text"),
    "dictionary": (pa.array(["billing"]).dictionary_encode(), "billing"),
    "other bytes": (pa.array([b"\xff\xfe\x00"]), "(3 bytes that are not text)"),
}


@pytest.mark.parametrize("case", VALUES)
def test_every_type_becomes_text(import_file, case):
    array, text = VALUES[case]
    kept, _result = import_file(parquet({"prompt": ["p"], "answer": array}))
    assert kept[0]["messages"][-1]["content"] == text


def extension() -> bytes:
    class Custom(pa.ExtensionType):
        def __init__(self) -> None:
            super().__init__(pa.string(), "evil.pickle")

        def __arrow_ext_serialize__(self) -> bytes:
            return b"cos\nsystem\n(S'true'\ntR."

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, serialized):
            raise AssertionError("never opened")

    storage = pa.array(["a"])
    return parquet({"prompt": ["p"], "answer": pa.ExtensionArray.from_storage(Custom(), storage)})


def with_false_size(content: bytes) -> bytes:
    """Its footer claims a header longer than the file."""
    return content[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1"


def invalid_text() -> bytes:
    storage = pa.array([b"good", b"br\xffken"])
    text = pa.Array.from_buffers(pa.string(), 2, storage.buffers())
    return parquet({"prompt": ["a", "b"], "answer": text})


HOSTILE = {
    "cut off": (lambda: parquet(PAIR)[:-20], "cut off or damaged"),
    "cut in the middle": (lambda: b"PAR1" + parquet(PAIR)[400:], "cut off or damaged"),
    "a header that lies": (lambda: with_false_size(parquet(PAIR)), "cut off or damaged"),
    "an extension type": (extension, "custom type"),
    "a bomb": (
        lambda: parquet(
            {"prompt": ["x" * 900_000] * 300, "answer": ["y"] * 300},
            use_dictionary=False,
            compression="zstd",
        ),
        "100 times its size",
    ),
    "too many columns": (lambda: parquet({f"c{n}": ["x"] for n in range(1_500)}), "1,500 columns"),
    "no rows": (
        lambda: parquet({"prompt": pa.array([], pa.string()), "answer": pa.array([], pa.string())}),
        "no rows",
    ),
    "a password": (lambda: b"PARE" + bytes(200) + b"PARE", "password"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_rejected_with_a_reason(import_file, case):
    make, message = HOSTILE[case]
    with pytest.raises(UserError) as error:
        import_file(make(), "rows.parquet")
    assert message in error.value.message


def test_corrupt_pages_are_rejected_or_listed(import_file):
    """Flip single bytes; none may crash the import."""
    whole = bytearray(parquet(PAIR, compression="none", use_dictionary=False))
    for at in range(4, 200, 23):
        content = bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(UserError):
            import_file(content, "rows.parquet")


def test_text_that_is_not_utf8_is_listed_by_row(import_file):
    kept, result = import_file(invalid_text(), "rows.parquet")
    assert len(kept) == 1
    assert result["rejected"][0]["line"] == 2
    assert "broken characters" in result["rejected"][0]["reason"]


def test_a_cell_above_the_limit_is_listed(import_file):
    content = parquet({"prompt": ["p", "q"], "answer": ["kept", "é" * 1_100_000]})
    kept, result = import_file(content)
    assert len(kept) == 1
    assert "longer than" in result["rejected"][0]["reason"]


def test_duplicate_column_names_are_made_unique(import_file, stored, channel):
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(
        [pa.array(["p"]), pa.array(["a"]), pa.array(["b"])], names=["prompt", "answer", "answer"]
    )
    pq.write_table(table, buffer)
    shape = inspect_file(stored(buffer.getvalue()), "x.parquet", {}, channel)["shape"]
    assert shape["columns"] == ["prompt", "answer", "answer (2)"]
    assert json.dumps(shape)


def test_a_dictionary_that_repeats_a_long_text_does_not_fill_the_disk(import_file):
    """806 bytes once wrote 1.2 GB."""
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000), pa.array(["x" * 900_000]))
    content = parquet({"prompt": repeated, "answer": pa.array(["yes"] * 20_000)})
    assert len(content) < 200_000
    with pytest.raises(UserError, match="100 times as large as the file"):
        import_file(content)


def test_rows_that_are_far_larger_than_their_file_are_not_written(stored, tmp_path, channel):
    """Whatever the reader."""
    path = stored(b"prompt,answer\n" + b"Hello,yes\n" * 2_000)
    inspection = inspect_file(path, "rows.csv", {}, channel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "ALWAYS_ALLOWED_BYTES", 50_000)
        patch.setattr(limits, "MAX_UNPACK_RATIO", 1)
        with pytest.raises(UserError, match="times as large as the file"):
            read_rows(path, tmp_path, inspection["shape"], inspection["mapping"], channel)
    assert (tmp_path / "rows.jsonl").stat().st_size <= 50_000
