"""What is wrong with an input file is told by line, and nothing of it is asked."""

import json
import time

import pytest

from finetune_app.batches import input_file
from finetune_app.batches.input_file import InvalidFile, read_requests
from finetune_app.batches.models import BatchRequest
from tests.batches.batch_files import CHAT, content, line, run_to_end, send


def errors_of(tmp_path, sent: bytes) -> list[tuple]:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(sent)
    with pytest.raises(InvalidFile) as invalid:
        read_requests(path, CHAT)
    return [(one["line"], one["code"], one["param"]) for one in invalid.value.errors]


@pytest.mark.parametrize(
    ("row", "code", "param"),
    [
        (b"nonsense", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b"\xff\xfe{}", "invalid_json_line", None),
        (b"[" * 100_000, "invalid_json_line", None),
        (line(1) | {"custom_id": ""}, "missing_required_parameter", "custom_id"),
        (line(1) | {"custom_id": 7}, "missing_required_parameter", "custom_id"),
        (line(1) | {"custom_id": "a\0b"}, "invalid_custom_id", "custom_id"),
        (line(1) | {"custom_id": "\ud800"}, "invalid_custom_id", "custom_id"),
        (line(1) | {"custom_id": "x" * 513}, "invalid_custom_id", "custom_id"),
        (line(1) | {"method": "GET"}, "invalid_method", "method"),
        (line(1) | {"url": "/v1/embeddings"}, "mismatched_url", "url"),
        (line(1) | {"url": "http://127.0.0.1/v1/chat/completions"}, "mismatched_url", "url"),
        (line(1) | {"body": "x"}, "missing_required_parameter", "body"),
        (line(1) | {"body": {}}, "missing_required_parameter", "body.model"),
        (line(1) | {"bodies": {}}, "unknown_parameter", "bodies"),
        (line(0), "duplicate_custom_id", "custom_id"),
        (line(1, model="other"), "mismatched_model", "body.model"),
    ],
)
def test_a_wrong_line_is_told(tmp_path, row, code, param):
    sent = row if isinstance(row, bytes) else json.dumps(row).encode()
    assert errors_of(tmp_path, content([line(0)]) + sent + b"\n") == [(2, code, param)]


def test_blank_lines_and_a_byte_order_mark_are_no_errors(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + content([line(0)]) + b"\n\r\n" + content([line(1)]).strip())
    requests, model = read_requests(path, CHAT)
    assert [one.line for one in requests] == [1, 4]
    assert model == "sort-shop-emails"
    bodies = [json.loads(input_file.request_body(path, one)) for one in requests]
    assert bodies == [line(0)["body"], line(1)["body"]]


def test_no_more_than_a_hundred_errors_are_told(tmp_path):
    assert len(errors_of(tmp_path, b"nonsense\n" * 5_000)) == 100


def test_a_line_longer_than_a_request_is_one_error(tmp_path, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    sent = content([line(0)]) + b"x" * 5_500 + b"\n" + content([line(2), line(0)])
    assert errors_of(tmp_path, sent) == [
        (2, "line_too_long", None),
        (4, "duplicate_custom_id", "custom_id"),
    ]


def test_fifty_thousand_requests_are_read_in_seconds_and_one_more_is_too_many(tmp_path):
    rows = content([line(n) for n in range(50_000)])
    path = tmp_path / "rows.jsonl"
    path.write_bytes(rows)
    started = time.monotonic()
    requests, _model = read_requests(path, CHAT)
    assert len(requests) == 50_000
    assert time.monotonic() - started < 10
    found = errors_of(tmp_path, rows + content([line(50_000)]))
    assert found == [(50_001, "too_many_requests", None)]


def test_an_invalid_file_fails_the_batch(client, engine, live):
    sent = send(client, content([line(0)]) + b"nonsense\n" + content([line(0)]))
    done = run_to_end(client, sent)
    assert (done.status, done.output_file_id, done.error_file_id) == ("failed", None, None)
    assert [(one.line, one.code) for one in done.errors.data] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
    ]
    assert "Line 2" in done.errors.data[0].message
    assert done.failed_at
    assert engine.asked == []
    assert not BatchRequest.objects.exists()


def test_a_model_that_is_not_there_fails_the_batch_at_once(client, engine, live):
    done = run_to_end(client, send(client, [line(n, model="gpt-4o") for n in range(3)]))
    [error] = done.errors.data
    assert (done.status, error.code, error.param) == ("failed", "model_not_found", "body.model")


def test_a_file_that_was_deleted_before_it_was_read_fails_the_batch(client, engine, live):
    sent = send(client, [line(1)])
    client.files.delete(sent.input_file_id)
    done = run_to_end(client, sent)
    assert (done.status, done.errors.data[0].code) == ("failed", "file_deleted")
    assert done.input_file_id == sent.input_file_id
