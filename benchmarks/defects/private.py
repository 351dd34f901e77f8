"""Personal data, secrets, and what only looks like them. All invented; none is anybody's."""

import base64
import random
import string
import uuid

FIRST = ("anna", "jonas", "mara", "li.wei", "p.dupont", "giulia_r", "sam+shop", "o.neil", "kofi")
LAST = ("berg", "keller", "moreau", "rossi", "okafor", "tanaka", "smith", "garcia", "novak")
DOMAINS = (
    "posteo.de",
    "gmail.com",
    "orange.fr",
    "libero.it",
    "mail.co.uk",
    "uni-ulm.de",
    "proton.me",
)
BANKS = {"DE": 18, "FR": 23, "NL": 14, "ES": 20, "AT": 16, "IT": 23, "BE": 12, "CH": 17}
CARDS = (("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15), ("6011", 16))
ALNUM = string.ascii_letters + string.digits


def email(dice: random.Random) -> str:
    name = f"{dice.choice(FIRST)}{dice.choice(('.', '', '_'))}{dice.choice(LAST)}"
    return f"{name}@{dice.choice(DOMAINS)}"


def phone(dice: random.Random) -> str:
    """A number of five countries, written in one of the usual ways, with a word before it."""

    def d(n: int) -> str:
        return "".join(dice.choice("123456789") for _ in range(n))

    area = dice.choice(("212", "415", "617", "312", "206"))
    number = dice.choice(
        (
            f"+49 {dice.choice(('30', '40', '69', '89'))} {d(7)}",
            f"+49 17{dice.choice('01256')} {d(7)}",
            f"017{dice.choice('01256')}/{d(7)}",
            f"({area}) {dice.choice('23456789')}{d(2)}-{d(4)}",
            f"{area}-{dice.choice('23456789')}{d(2)}-{d(4)}",
            f"+1 {area} {dice.choice('2345678')}{d(2)} {d(4)}",
            f"020 7{d(3)} {d(4)}",
            f"+44 20 7{d(3)} {d(4)}",
            f"06 {d(2)} {d(2)} {d(2)} {d(2)}",
            f"+33 6 {d(2)} {d(2)} {d(2)} {d(2)}",
            f"+34 6{d(2)} {d(3)} {d(3)}",
        )
    )
    return f"{dice.choice(('call me on', 'my phone is', 'Tel.', 'mobile:', 'WhatsApp'))} {number}"


def card(dice: random.Random) -> str:
    start, length = dice.choice(CARDS)
    digits = start + "".join(dice.choice(string.digits) for _ in range(length - len(start) - 1))
    digits += _luhn(digits)
    if length == 16 and dice.random() < 0.6:
        mark = dice.choice(" -")
        return mark.join(digits[at : at + 4] for at in range(0, 16, 4))
    return digits


def _luhn(digits: str) -> str:
    total = sum(int(one) for one in digits[-2::-2])
    total += sum(sum(divmod(2 * int(one), 10)) for one in digits[-1::-2])
    return str(-total % 10)


def iban(dice: random.Random) -> str:
    country = dice.choice(list(BANKS))
    rest = "".join(dice.choice(string.digits) for _ in range(BANKS[country]))
    number = int("".join(str(int(one, 36)) for one in f"{rest}{country}00"))
    code = f"{country}{98 - number % 97:02}{rest}"
    if dice.random() < 0.5:
        return " ".join(code[at : at + 4] for at in range(0, len(code), 4))
    return code


def ip(dice: random.Random) -> str:
    if dice.random() < 0.2:
        return "2a02:" + ":".join(f"{dice.randrange(1, 65535):x}" for _ in range(7))
    return f"{dice.choice((37, 62, 81, 91, 134, 185, 212))}." + ".".join(
        str(dice.randrange(1, 254)) for _ in range(3)
    )


PERSONAL = {"email": email, "phone": phone, "card": card, "iban": iban, "ip": ip}


def looks_personal(dice: random.Random) -> str:
    """Nobody's: order numbers, dates, prices, versions, home networks, placeholders."""

    def d(n: int) -> str:
        return "".join(dice.choice(string.digits) for _ in range(n))

    wrong = card(dice)
    broken = wrong[:-1] + str((int(wrong[-1]) + 1) % 10)
    return dice.choice(
        (
            f"order {d(10)}",
            f"invoice 2024-{d(5)}-{d(3)}",
            f"from 20{d(2)}-0{dice.randrange(1, 9)}-1{d(1)} to 20{d(2)}-11-2{d(1)}",
            f"{dice.randrange(1, 9)}.{d(3)}.{d(3)},00 EUR",
            f"version {dice.randrange(1, 20)}.{d(1)}.{d(2)}.{d(1)}",
            f"192.168.{d(2).lstrip('0') or 1}.{dice.randrange(1, 250)}",
            f"10.0.{dice.randrange(9)}.{dice.randrange(1, 250)}",
            "someone@example.com",
            "127.0.0.1:8000",
            f"part no. {broken}",
            f"ISBN 978-{d(1)}-{d(4)}-{d(4)}-{d(1)}",
            f"{d(3)},{d(3)},{d(3)} bytes",
            f"chmod 0{d(3)}",
            f"git@github.com:{dice.choice(LAST)}/tools.git",
            f"@{dice.choice(FIRST)}",
            f"track {d(4)} {d(2)}:{d(2)}:{d(2)}",
            str(uuid.UUID(int=dice.getrandbits(128))),
        )
    )


def _of(dice: random.Random, letters: str, count: int) -> str:
    return "".join(dice.choice(letters) for _ in range(count))


def secret(dice: random.Random) -> str:
    word = _of(dice, string.ascii_lowercase, 6)
    password = word.capitalize() + _of(dice, string.digits, 3) + dice.choice("!#%&")
    upper = string.ascii_uppercase + string.digits
    token = base64.urlsafe_b64encode(dice.randbytes(30)).decode().rstrip("=")
    pem = "\n".join(_of(dice, ALNUM + "+/", 64) for _ in range(4))
    return dice.choice(
        (
            f"AKIA{_of(dice, upper, 16)}",
            f"ghp_{_of(dice, ALNUM, 36)}",
            f"sk-{_of(dice, ALNUM, 48)}",
            f"sk-proj-{_of(dice, ALNUM + '_-', 60)}a",
            f"xoxb-{_of(dice, string.digits, 12)}-{_of(dice, ALNUM, 24)}",
            f"AIza{_of(dice, ALNUM + '_-', 34)}b",
            f"glpat-{_of(dice, ALNUM, 20)}",
            f"hf_{_of(dice, ALNUM, 34)}",
            f"sk_live_{_of(dice, ALNUM, 24)}",
            f"eyJhbGciOiJIUzI1NiJ9.eyJ{_of(dice, ALNUM, 30)}.{token}",
            f"password: {password}",
            f"my password is {password}",
            f"api_key={_of(dice, ALNUM, 24)}",
            f'"secret": "{_of(dice, ALNUM, 20)}"',
            f"postgres://{word}:{password}@db.{word}.io/main",
            f"Authorization: Bearer {token}",
            f"Passwort: {password}",
            f"pwd={password}",
            f"-----BEGIN RSA PRIVATE KEY-----\n{pem}\n-----END RSA PRIVATE KEY-----",
            f"-----BEGIN OPENSSH PRIVATE KEY-----\n{pem}\n-----END OPENSSH PRIVATE KEY-----",
        )
    )


def looks_secret(dice: random.Random) -> str:
    """Hashes, ids, words and placeholders that give nothing away."""
    return dice.choice(
        (
            f"commit {_of(dice, '0123456789abcdef', 40)}",
            str(uuid.UUID(int=dice.getrandbits(128))),
            f"sha256 {_of(dice, '0123456789abcdef', 64)}",
            "password=$DB_PASSWORD",
            "password: <your password>",
            "I forgot my password, what now?",
            "the secret is to stir slowly",
            "token = os.environ['TOKEN']",
            "passwd -l bob",
            "Enter the password when asked: it is on the card",
            "api_key: {{ api_key }}",
            "pass the salt",
            "password: ********",
            "-----BEGIN CERTIFICATE-----",
            "ssh-keygen -t ed25519",
            f"https://shop.io/item/{_of(dice, ALNUM, 12)}",
            "the password is required",
            "PASSWORD=changeme",
            f"sk-{_of(dice, string.ascii_lowercase, 6)}",
            "secret: your_secret_here",
        )
    )
