"""The playground: invalid requests, and the same request as code."""

import json

HISTORY = json.dumps(
    [{"role": "user", "content": "Is it mine?"}, {"role": "assistant", "content": "Yes."}]
)
PART = {"HX-Request": "true"}  # the code is a part of the page


def test_every_member_can_open_it(live, as_viewer, as_stranger, url):
    page = as_viewer.get(url("playground:page")).content.decode()
    assert "What would your program get back?" in page
    assert as_stranger.get(url("playground:page")).status_code == 404
    assert as_stranger.post(url("playground:code")).status_code == 404


def test_it_offers_the_goals_examples(live, goal, as_viewer, url):
    goal.pairs = [{"prompt": "Is my <b>bike</b> ready?", "answer": "repair_status"}]
    goal.save()
    page = as_viewer.get(url("playground:page")).content.decode()
    assert "data-ask>Is my &lt;b&gt;bike&lt;/b&gt; ready?</button>" in page


def test_without_a_deployment_there_is_no_playground(goal, tuned, as_viewer, url):
    assert as_viewer.get(url("playground:page")).status_code == 404


def test_invalid_parameters_get_the_apis_error(live, as_viewer, url):
    given = {"question": "Hello", "temperature": "9", "max_tokens": "40"}
    reply = as_viewer.post(url("playground:page"), given)
    assert reply.status_code == 422
    assert "must be a number from 0 to 2" in reply.content.decode()
    assert reply.context["question"] == "Hello"
    reply = as_viewer.post(
        url("playground:page"),
        given | {"temperature": "warm"},
        headers={"Accept": "application/x-ndjson"},
    )
    assert "temperature" in reply.json()["error"]


def test_a_paused_deployment_is_reported(live, as_viewer, as_editor, url):
    as_editor.post(url("pause"), {"pause": "1"})
    reply = as_viewer.post(url("playground:page"), {"question": "Hello"})
    assert "is paused" in reply.content.decode()


def test_the_code_sends_exactly_this_request(live, as_viewer, url):
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


def test_after_an_answer_the_code_sends_the_answered_request(live, as_viewer, url):
    reply = as_viewer.post(url("playground:code"), {"history": HISTORY}, headers=PART)
    curl = reply.context["snippets"][0].code
    assert json.loads(curl.partition("-d '")[2].rstrip("'"))["messages"] == [
        {"role": "user", "content": "Is it mine?"}
    ]


def test_half_a_character_in_the_hidden_field_is_shown_as_a_mark_in_its_place(live, as_viewer, url):
    given = {"question": "Hello", "history": r'[{"role": "user", "content": "\ud83d late"}]'}
    reply = as_viewer.post(url("playground:code"), given, headers=PART)
    assert reply.status_code == 200
    assert "� late" in reply.content.decode()
    reply = as_viewer.post(url("playground:page"), given | {"temperature": "9"})
    assert reply.status_code == 422
    assert "� late" in reply.content.decode()


def test_without_javascript_the_code_redirects_to_the_page(live, as_viewer, url):
    assert as_viewer.post(url("playground:code"), {"question": "Hello"})["Location"] == url(
        "playground:page"
    )


def test_an_invalid_request_has_no_code(live, as_viewer, url):
    reply = as_viewer.post(
        url("playground:code"), {"question": "Hello", "max_tokens": "0"}, headers=PART
    )
    assert reply.status_code == 422
    assert "max_tokens" in reply.content.decode()


def test_a_question_that_is_refused_ends_no_conversation(live, as_viewer, url):
    """Without JavaScript the page carries what was said."""
    said = [{"role": "user", "content": "Is it mine?"}, {"role": "assistant", "content": "Yes."}]
    form = {"question": "Hello", "history": json.dumps(said), "temperature": "9"}
    page = as_viewer.post(url("playground:page"), form)
    assert page.status_code == 422
    assert json.loads(page.context["history"]) == said
