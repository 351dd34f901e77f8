"""Asking what is live from its page: what is refused, and the same request as code."""

import json

HISTORY = json.dumps(
    [{"role": "user", "content": "Is it mine?"}, {"role": "assistant", "content": "Yes."}]
)
PART = {"HX-Request": "true"}  # the code is a part of the page


def test_the_page_is_there_for_everybody_in_the_team(live, as_viewer, as_stranger, url):
    page = as_viewer.get(url("playground:page")).content.decode()
    assert "What would your program get back?" in page
    assert as_stranger.get(url("playground:page")).status_code == 404
    assert as_stranger.post(url("playground:code")).status_code == 404


def test_the_goals_own_examples_are_there_to_begin_with(live, goal, as_viewer, url):
    goal.pairs = [{"prompt": "Is my <b>bike</b> ready?", "answer": "repair_status"}]
    goal.save()
    page = as_viewer.get(url("playground:page")).content.decode()
    assert "data-ask>Is my &lt;b&gt;bike&lt;/b&gt; ready?</button>" in page


def test_nothing_live_has_no_playground(goal, tuned, as_viewer, url):
    assert as_viewer.get(url("playground:page")).status_code == 404


def test_what_cannot_be_asked_is_said_as_the_api_says_it(live, as_viewer, url):
    given = {"question": "Hello", "temperature": "9", "max_tokens": "40"}
    reply = as_viewer.post(url("playground:page"), given)
    assert reply.status_code == 422
    assert "must be a number from 0 to 2" in reply.content.decode()
    assert reply.context["question"] == "Hello"
    said = as_viewer.post(
        url("playground:page"),
        given | {"temperature": "warm"},
        headers={"Accept": "application/x-ndjson"},
    )
    assert "temperature" in said.json()["error"]


def test_a_paused_one_says_so(live, as_viewer, as_editor, url):
    as_editor.post(url("pause"), {"pause": "1"})
    reply = as_viewer.post(url("playground:page"), {"question": "Hello"})
    assert "is paused" in reply.content.decode()


def test_the_code_is_exactly_this_request(live, as_viewer, url):
    given = {
        "question": "And now?",
        "history": HISTORY,
        "system": "Be brief.",
        "temperature": "0.5",
        "max_tokens": "40",
    }
    curl = as_viewer.post(url("playground:code"), given, headers=PART).context["snippets"][0].code
    sent = json.loads(curl.partition("-d '")[2].rstrip("'"))
    assert sent == {
        "model": live.name,
        "temperature": 0.5,
        "max_tokens": 40,
        "messages": [
            {"role": "system", "content": "Be brief."},
            *json.loads(HISTORY),
            {"role": "user", "content": "And now?"},
        ],
    }


def test_after_an_answer_it_is_the_request_that_was_answered(live, as_viewer, url):
    reply = as_viewer.post(url("playground:code"), {"history": HISTORY}, headers=PART)
    curl = reply.context["snippets"][0].code
    assert json.loads(curl.partition("-d '")[2].rstrip("'"))["messages"] == [
        {"role": "user", "content": "Is it mine?"}
    ]


def test_without_script_it_leads_to_the_page(live, as_viewer, url):
    assert as_viewer.post(url("playground:code"), {"question": "Hello"})["Location"] == url(
        "playground:page"
    )


def test_code_that_would_be_refused_is_refused_here(live, as_viewer, url):
    reply = as_viewer.post(
        url("playground:code"), {"question": "Hello", "max_tokens": "0"}, headers=PART
    )
    assert reply.status_code == 422
    assert "max_tokens" in reply.content.decode()
