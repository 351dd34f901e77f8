"""Detection of refusals by the first words of an answer, in each supported language."""

import re

# Matched at the start of the answer. Only a short text may be between “sorry” and “cannot”, so an
# apology followed by help is not a refusal.
BEGINNINGS = {
    "English": (
        r"(?:(?:i(?:'|’)?m|i am) (?:very |so |really )?sorry,? (?:but )?|sorry,? (?:but )?"
        r"|unfortunately,? |i apologi[sz]e,? (?:but )?"
        r"|(?:i(?:'|’)?m|i am) afraid,? (?:that )?"
        # “I'm sorry for any confusion, but as a chatbot”: small models say it so
        r"|(?:i(?:'|’)?m sorry|i am sorry|i apologi[sz]e) for \w{2,4} [\w ]{1,40}, but )?"
        r"(?:i (?:can(?:no|'|’)t|can not|am unable to|am not able to|won(?:'|’)t be able to"
        r"|do not feel comfortable|must decline"
        r"|(?:do not|don(?:'|’)t) have the (?:ability|capabilit))|i(?:'|’)m (?:unable|not able) to"
        r"|as an? (?:ai|(?:large )?language model|chatbot))"
    ),
    "German": (
        r"(?:leider,? )?ich kann (?:ihnen |dir |das |dabei |hierbei |leider )*(?:nicht|keine)"
        r"|(?:es )?tut mir (?:sehr )?leid,? (?:aber )?(?:ich|das|dabei) kann|leider kann ich"
    ),
    "French": (
        r"(?:(?:je suis )?(?:vraiment )?désolée?,? (?:mais )?|malheureusement,? )?"
        r"je ne (?:peux pas|suis pas en mesure)|je suis désolée?"
    ),
    "Spanish": r"(?:lo siento,? (?:pero )?|lamentablemente,? )?no puedo",
    "Italian": r"(?:mi dispiace,? (?:ma )?|purtroppo,? )?non posso",
    "Portuguese": (
        r"(?:(?:sinto muito|lamento|desculpe|infelizmente),? (?:mas )?)?(?:eu )?"
        r"não (?:posso|consigo)"
    ),
    "Dutch": (
        r"(?:(?:het )?spijt me,? (?:maar )?|helaas,? )?(?:ik kan|dat kan ik|kan ik) "
        r"(?:je |u |dat |dit |hierbij |daarbij |helaas )*(?:niet|geen)"
    ),
    "Swedish": (
        r"(?:(?:jag är )?ledsen,? (?:men )?|tyvärr,? )?(?:jag kan|kan jag) (?:tyvärr )?inte"
    ),
    "Danish and Norwegian": (
        r"(?:(?:jeg )?beklager,? (?:men )?|(?:desværre|dessverre),? )?"
        r"(?:jeg kan|kan jeg) (?:desværre |dessverre )?ikke"
    ),
    "Polish": (r"(?:(?:przykro mi|przepraszam|niestety),? (?:ale )?)?nie (?:mogę|jestem w stanie)"),
    "Russian": (
        r"(?:(?:извините|простите|прошу прощения|мне жаль|к сожалению),? (?:но )?)?"
        r"я не (?:могу|в состоянии)"
    ),
    "Turkish": (
        r"(?:üzgünüm|özür dilerim|maalesef)\b.{0,60}?"
        r"(?:olamam|olamıyorum|yapamam|yapamıyorum|edemem|veremem|sağlayamam)"
    ),
    "Chinese": (
        r"(?:(?:非常|很)?(?:抱歉|对不起|對不起)[,\uff0c\u3001 ]*(?:但是?)?)?我(?:无法|無法|不能)"
    ),
    "Japanese": (
        r"(?:大変)?(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい).{0,40}?"
        r"(?:できません|できかねます)"
    ),
    "Korean": r"(?:죄송|미안)(?:합니다|하지만|해요).{0,40}?수 (?:없습니다|없어요)",
}
_REFUSES = re.compile(rf"^\W*(?:{'|'.join(BEGINNINGS.values())})", re.I)
SCANNED_CHARACTERS = 200


def refusal_length(answer: str) -> int:
    """The length of the refusal at the start of the answer; 0 where there is none."""
    found = _REFUSES.match(answer[:SCANNED_CHARACTERS])
    return found.end() if found else 0
