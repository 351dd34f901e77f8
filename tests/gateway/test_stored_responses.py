"""Responses that are stored, read again and gone on from: where the deployment keeps texts."""

import json

import openai
import pytest

from finetune_app.api_keys import services as api_keys
from finetune_app.request_log import retention, stored_responses
from finetune_app.request_log.models import Request, StoredResponse, Transcript
from tests.gateway.response_requests import CALL, WEATHER, respond


@pytest.fixture
def kept(live, owner):
    """The deployment keeps texts."""
    retention.change(deployment=live, by=owner, on=True)
    return live


def test_without_kept_texts_nothing_is_stored_and_it_says_so(client, live):
    reply = respond(client)
    assert reply.store is False
    with pytest.raises(openai.NotFoundError, match="texts are kept"):
        client.responses.retrieve(reply.id)
    with pytest.raises(openai.BadRequestError, match="Send the whole conversation") as refused:
        respond(client, previous_response_id=reply.id)
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.BadRequestError, match="switches on") as refused:
        respond(client, store=True)
    assert refused.value.param == "store"


def test_a_base_model_stores_nothing(client, kept):
    assert respond(client, model="starter").store is False
    with pytest.raises(openai.BadRequestError):
        respond(client, model="starter", store=True)


def test_a_conversation_goes_on_from_what_is_stored(client, said, kept):
    said["texts"] = ["One.", "Two.", "Three."]
    first = respond(client, "First", instructions="Count.")
    second = respond(client, "Second", previous_response_id=first.id)
    third = respond(client, "Third", previous_response_id=second.id, stream=False)
    assert third.previous_response_id == second.id
    assert [one["content"] for one in said["asked"][-1]["messages"]] == [
        "First",
        "One.",
        "Second",
        "Two.",
        "Third",
    ], "without the instructions of earlier ones"
    assert client.responses.retrieve(first.id).output_text == "One."
    items = client.responses.input_items.list(second.id)
    assert [one.content[0].text for one in items.data] == ["Second"]


def test_a_stream_can_be_gone_on_from_at_once(client, said, kept):
    *_, last = respond(client, "First", stream=True)
    assert last.response.store is True
    assert respond(client, "Second", previous_response_id=last.response.id).status == "completed"


def test_calls_and_results_are_stored_too(client, said, kept):
    said["texts"] = [CALL, "18 degrees."]
    first = respond(client, "Rome?", tools=[WEATHER])
    [call] = first.output
    output = [{"type": "function_call_output", "call_id": call.call_id, "output": "18 C"}]
    respond(client, output, tools=[WEATHER], previous_response_id=first.id)
    assert [one["role"] for one in said["asked"][-1]["messages"]] == ["user", "assistant", "tool"]
    assert not Transcript.objects.exists(), "it would be an example without its tools"


def test_it_is_stored_redacted(client, said, kept):
    said["texts"] = ["I wrote to mara@kettle-shop.de."]
    metadata = {"who": "mara@kettle-shop.de"}
    reply = respond(client, "My address is mara@kettle-shop.de", metadata=metadata)
    row = StoredResponse.objects.get()
    assert json.dumps([row.input, row.response]).count("[email]") == 3
    assert "kettle-shop" not in json.dumps([row.input, row.response])
    assert "kettle-shop" in reply.output_text
    assert client.responses.retrieve(reply.id).id == reply.id


def test_redacted_arguments_of_a_call_are_still_an_object(client, said, kept):
    """A card's number is a number in JSON; what stands for it is not."""
    called = json.dumps({"name": "get_weather", "arguments": {"a [b]": 4111111111111111}})
    said["texts"] = [called, "18 degrees."]
    first = respond(client, "Rome?", tools=[WEATHER], user="mara@kettle-shop.de")
    [call] = StoredResponse.objects.get().response["output"]
    assert json.loads(call["arguments"]) == {"a [b]": "[card]"}
    assert StoredResponse.objects.get().response["user"] == "[email]"
    output = [{"type": "function_call_output", "call_id": call["call_id"], "output": "18 C"}]
    second = respond(client, output, tools=[WEATHER], previous_response_id=first.id)
    assert second.output_text == "18 degrees."


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": [card], "b": "[card]"}', {"a": "[card]", "b": "[card]"}),
        ('{"a": [phone number]}', {"a": "[phone number]"}),
        ('{"a[card]', {"redacted": '{"a[card]'}),
    ],
)
def test_arguments_that_redaction_breaks_are_mended(arguments, kept):
    assert json.loads(stored_responses._as_json(arguments)) == kept


def test_a_deleted_response_is_gone(client, said, kept):
    reply = respond(client)
    client.responses.delete(reply.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(reply.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(reply.id)
    assert not StoredResponse.objects.exists()


def test_it_goes_with_the_other_texts(client, said, kept):
    respond(client)
    retention.delete_text(Request.objects.get())
    assert not StoredResponse.objects.exists()
    respond(client)
    retention.delete_all_texts(kept)
    assert not StoredResponse.objects.exists()
    respond(client)
    Request.objects.update(at="2020-01-01T00:00Z")
    retention.delete_expired()
    assert not StoredResponse.objects.exists()


def test_a_program_can_have_it_not_stored(client, said, kept):
    assert respond(client, store=False).store is False
    assert not StoredResponse.objects.exists()


def test_only_the_chosen_share_is_stored(client, said, kept, owner):
    retention.change(deployment=kept, by=owner, on=True, percent=0)
    assert respond(client).store is False
    assert not StoredResponse.objects.exists()
    assert not Transcript.objects.exists()


def test_what_is_too_long_to_be_redacted_whole_is_not_stored(client, said, kept):
    assert respond(client, "x" * 30_000).store is False
    with pytest.raises(openai.BadRequestError, match="too long"):
        respond(client, "x" * 30_000, store=True)
    said["texts"] = ["y" * 30_000]
    assert respond(client).store is False


def test_other_teams_and_other_keys_find_none(client, said, kept, address, stranger, goal):
    reply = respond(client)
    _key, text = api_keys.create_key(team=stranger.teams.get(), by=stranger, name="x")
    other = openai.OpenAI(base_url=address, api_key=text, max_retries=0)
    for call in (
        other.responses.retrieve,
        other.responses.delete,
        other.responses.input_items.list,
    ):
        with pytest.raises(openai.NotFoundError):
            call(reply.id)
    with pytest.raises(openai.BadRequestError, match="not stored"):
        respond(other, model="starter", previous_response_id=reply.id)
    assert StoredResponse.objects.exists()


def test_a_stored_response_is_not_streamed(client, said, kept):
    reply = respond(client)
    with pytest.raises(openai.BadRequestError, match="not streamed"):
        list(client.responses.retrieve(reply.id, stream=True))
