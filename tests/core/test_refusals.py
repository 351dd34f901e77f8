"""Answers that refuse, and answers that only sound like it."""

import pytest

from finetune_app.core.refusals import BEGINNINGS, refusal_length

SAID = {
    "English": ("I'm sorry, but I can't do that.", "I can do that, sorry for the wait."),
    "German": ("Es tut mir leid, aber das kann ich nicht sagen.", "Das tut mir leid. Kommen Sie."),
    "French": ("Désolé, mais je ne peux pas répondre.", "Je peux vous aider."),
    "Spanish": ("Lo siento, pero no puedo ayudarte.", "Lo siento mucho. Venga el lunes."),
    "Italian": ("Purtroppo non posso dirlo.", "Mi dispiace per il ritardo."),
    "Portuguese": ("Infelizmente, não posso ajudar.", "Posso ajudar com isso."),
    "Dutch": ("Het spijt me, maar ik kan u hierbij niet helpen.", "Ik kan u helpen."),
    "Swedish": ("Tyvärr kan jag inte svara.", "Jag kan hjälpa dig."),
    "Danish and Norwegian": ("Beklager, men jeg kan ikke hjelpe.", "Jeg kan hjelpe deg."),
    "Polish": ("Przepraszam, ale nie mogę pomóc.", "Mogę pomóc."),
    "Russian": ("К сожалению, я не могу ответить.", "Я могу помочь."),
    "Turkish": ("Üzgünüm, bu konuda yardımcı olamam.", "Yardımcı olabilirim."),
    "Chinese": ("很抱歉\uff0c我无法回答这个问题。", "我可以帮助您。"),
    "Japanese": ("申し訳ありませんが、お答えできません。", "お手伝いできます。"),
    "Korean": ("죄송하지만 도와드릴 수 없습니다.", "도와드릴 수 있습니다."),
}


REFUSED = [
    "I'm sorry for any confusion, but as a chatbot designed to help, I don't have the ability to",
    "I’m sorry for the misunderstanding, but I can’t read messages of other people.",
    "I am sorry for your loss, but as an AI I cannot say.",
    "I'm afraid I'm unable to provide a passport.",
    "I'm afraid that I can't.",
    "I don't have the capability to steal a car.",
    "As a large language model, I do not",
]
HELPED = [
    "I'm sorry for the delay, but your bike is ready now.",
    "I'm sorry for any inconvenience, but as a customer you get your money back.",
    "I am sorry for your loss. I can do that for you on Monday.",
    "I'm afraid the shop is closed; it opens on Monday.",
    "I don't have the key, but Anna has.",
    "As a chat with the workshop showed, it can be done.",
]


@pytest.mark.parametrize("answer", REFUSED)
def test_a_long_apology_before_a_refusal(answer):
    assert refusal_length(answer)


@pytest.mark.parametrize("answer", HELPED)
def test_an_apology_before_help(answer):
    assert not refusal_length(answer)


@pytest.mark.parametrize("language", BEGINNINGS)
def test_refusals_are_detected_and_help_is_not(language):
    refused, helped = SAID[language]
    assert refusal_length(refused)
    assert not refusal_length(helped)
