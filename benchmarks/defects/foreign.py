"""Sentences that somebody may write to a shop, in five languages, with words that vary."""

import random

THINGS = {
    "de": ("mein Fahrrad", "die neue Lampe", "der rote Sattel", "meine Bestellung", "die Bremse"),
    "fr": ("mon vélo", "la nouvelle lampe", "la selle rouge", "ma commande", "le frein arrière"),
    "es": ("mi bicicleta", "la lámpara nueva", "el sillín rojo", "mi pedido", "el freno trasero"),
    "it": ("la mia bicicletta", "la lampada nuova", "la sella rossa", "il mio ordine", "il freno"),
    "en": ("my bicycle", "the new lamp", "the red saddle", "my order", "the rear brake"),
}
WHEN = {
    "de": ("seit Montag", "schon wieder", "nach dem Regen", "seit über einer Woche", "plötzlich"),
    "fr": ("depuis lundi", "encore une fois", "après la pluie", "depuis une semaine", "déjà"),
    "es": ("desde el lunes", "otra vez", "después de la lluvia", "desde hace días", "aún"),
    "it": ("da lunedì", "un’altra volta", "dopo la pioggia", "da più di una settimana", "già"),
    "en": ("since Monday", "once again", "after the rain", "for over a week", "all of a sudden"),
}
SENTENCES = {
    "de": (
        "Guten Tag, {t} ist {w} nicht mehr in Ordnung, können Sie mir bitte helfen?",
        "Wann wird {t} endlich fertig? Ich warte {w} und brauche es für die Arbeit.",
        "Ich möchte {t} gern zurückgeben, weil es {w} ständig Ärger macht, wäre das möglich?",
        "Könnten Sie prüfen, ob {t} auch für größere Räder passt? Ich frage mich das {w}.",
    ),
    "fr": (
        "Bonjour, {t} ne marche plus {w}, pourriez-vous m’aider s’il vous plaît ?",
        "Quand est-ce que {t} sera prêt ? J’attends {w} et j’en ai besoin pour le travail.",
        "Je voudrais rendre {t} parce que cela pose problème {w}, est-ce possible ?",
        "Pouvez-vous vérifier si {t} convient aussi aux grandes roues ? Je me le demande {w}.",
    ),
    "es": (
        "Buenos días, {t} no funciona {w}, ¿podrían ayudarme por favor con la reparación?",
        "¿Cuándo estará listo {t}? Espero {w} y lo necesito para ir al trabajo mañana.",
        "Quisiera devolver {t} porque da problemas {w}, ¿sería posible hacerlo esta semana?",
        "¿Pueden comprobar si {t} sirve también para ruedas más grandes? Me lo pregunto {w}.",
    ),
    "it": (
        "Buongiorno, {t} non funziona più {w}, potreste aiutarmi per favore con la riparazione?",
        "Quando sarà finalmente pronto? Aspetto {t} {w} e ne ho bisogno per andare al lavoro.",
        "Vorrei restituire {t} perché dà problemi {w}, sarebbe possibile farlo questa settimana?",
        "Potete controllare se {t} va bene anche per ruote più grandi? Me lo chiedo {w}.",
    ),
    "en": (
        "Good morning, {t} has stopped working {w}, could you please help me with that?",
        "When will it be ready at last? I have waited for {t} {w} and need it for work.",
        "I would like to return {t} because it has caused trouble {w}, would that be possible?",
        "Could you check whether {t} also fits larger wheels? I have wondered about it {w}.",
    ),
}
RUDE = (
    "You are a fucking idiot and your shop is shit",
    "Go to hell, you stupid bastards",
    "I hate you, you worthless piece of crap",
    "What kind of moron wrote this bullshit",
    "Shut up, you ugly bitch",
    "Kiss my ass, you lying assholes",
    "This is fucking garbage, you cunts",
    "You dumb fuck, answer me",
    "All of them are filthy scum and should die",
    "Damn you retards",
    "Stop fucking around, dickhead",
    "Your mother is a whore and you are a loser",
    "Only a stupid idiot would buy this shit",
    "Screw you and your crappy fucking bikes",
    "I will beat the shit out of you, asshole",
    "You are pathetic, disgusting and stupid, drop dead",
)


def sentence(dice: random.Random, language: str) -> str:
    return dice.choice(SENTENCES[language]).format(
        t=dice.choice(THINGS[language]), w=dice.choice(WHEN[language])
    )


def rude(dice: random.Random) -> str:
    return f"{dice.choice(RUDE)}. {sentence(dice, 'en')}"


def mojibake(dice: random.Random) -> str:
    """Read in another encoding than it was written in; one in ten has lost letters instead."""
    text = ""
    while text.isascii():
        text = sentence(dice, dice.choice(("de", "fr", "es", "it")))
    if dice.random() < 0.1:
        return "".join("\ufffd" if not one.isascii() else one for one in text)
    wrong = dice.choice(("cp1252", "latin-1"))
    return text.encode("utf-8").decode(wrong, "replace")
