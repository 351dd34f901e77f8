"""Neither answer is right as it is: a person writes a better one, starting from one of them."""

from finetune_app.preferences.models import AnswerPair
from tests.preferences.conftest import choose_good, shown_to, side_of, text


def test_what_is_written_is_better_and_where_it_started_is_worse(run, as_owner, url):
    found = shown_to(as_owner, url)
    side = side_of(found, "good")
    page = as_owner.get(url("write", found.pk, side))
    assert found.sides[side] in text(page)
    as_owner.post(url("write", found.pk, side), {"text": "best\r\nof all"})
    found.refresh_from_db()
    assert found.state == AnswerPair.State.CHOSEN
    assert (found.made.answer, found.made.rejected) == ("best\nof all", found.sides[side])


def test_an_empty_or_unchanged_text_is_refused_and_kept(run, as_owner, url):
    found = shown_to(as_owner, url)
    same = found.sides["b"]
    for typed in ("  \n", same, f" {same.upper()} "):
        reply = as_owner.post(url("write", found.pk, "b"), {"text": typed})
        assert reply.status_code == 422
        assert "go back and choose" in text(reply)
        assert reply.context["text"] == typed
    assert not run.goal.dataset.examples.exclude(rejected="").exists()


def test_what_is_decided_or_in_front_of_somebody_else_is_not_opened(run, as_owner, as_editor, url):
    theirs = shown_to(as_editor, url)
    mine = choose_good(as_owner, url)
    for pk in (theirs.pk, mine.pk):
        reply = as_owner.get(url("write", pk, "a"), follow=True)
        assert "in front of somebody else, or decided" in text(reply)
    assert as_owner.get(url("write", theirs.pk, "c")).status_code == 404
    assert as_owner.get(url("write", 999_999, "a")).status_code == 404
