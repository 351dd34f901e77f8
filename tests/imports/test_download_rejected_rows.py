"""Download the rejected rows of an import as a table."""

import csv
import io

FILE = b'prompt,answer\nGood question,bell\nNo answer,\n=1+1,\n"Never closed,bell\nLast,fork\n'


def test_downloading_rejected_rows_gives_each_with_its_reason(
    as_viewer, as_owner, as_stranger, upload_file, run_job, url
):
    item = run_job(upload_file(as_owner, "mixed.csv", FILE))
    form = {"prompt": "prompt", "answer": "answer", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    item = run_job(item)
    assert (item.rows_kept, item.rejected_count) == (2, 3)
    reply = as_viewer.get(url("rejected_rows", import_id=item.pk))
    assert f"left-out-{item.pk}.csv" in reply["Content-Disposition"]
    text = b"".join(reply.streaming_content).decode("utf-8-sig")
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == ["Line", "Why", "What it says"]
    assert [row[0] for row in rows] == ["3", "4", "5"]
    assert "“answer” is empty" in rows[0][1]
    assert rows[1][2].startswith("'=1+1")  # no formula
    assert "never closed" in rows[2][1]
    assert as_stranger.get(url("rejected_rows", import_id=item.pk)).status_code == 404
    assert as_owner.post(url("rejected_rows", import_id=item.pk)).status_code == 405


def test_without_rejected_rows_the_download_is_not_found(as_owner, upload_file, run_job, url):
    item = run_job(upload_file(as_owner, "good.csv", b"prompt,answer\nGood question,bell\n"))
    assert as_owner.get(url("rejected_rows", import_id=item.pk)).status_code == 404
