"""The lines with which a program asks: curl, Python, JavaScript, for exactly one request."""

import ipaddress
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

KEY = "ft-…"
EXAMPLE = ({"role": "user", "content": "…"},)
A_TEXT = re.compile(r"&quot;(?:\\.|(?!&quot;)[^\n])*?&quot;")  # in escaped code
NOT_PUBLIC = ("local", "lan", "home", "internal", "localdomain", "corp")


@dataclass(frozen=True)
class Snippet:
    language: str
    code: str

    @property
    def shown(self) -> SafeString:
        """As HTML, its texts coloured."""
        return mark_safe(A_TEXT.sub(r'<span class="s">\g<0></span>', escape(self.code)))


def of(
    model: str, messages: Sequence[dict[str, str]] = EXAMPLE, key: str = "", **settings: Any
) -> list[Snippet]:
    """One for each language. `settings`: temperature, max_tokens and the like, as JSON has them."""
    given, address = {"model": model, "messages": [*messages], **settings}, api_address()
    return [
        Snippet("curl", _curl(address, given, key or KEY)),
        Snippet("Python", _python(address, given, key or KEY)),
        Snippet("JavaScript", _javascript(address, given, key or KEY)),
    ]


def api_address() -> str:
    """What programs take as their base address."""
    return f"{settings.PUBLIC_URL}/v1"


def reach() -> str:
    """Who can reach that address, in a sentence."""
    place = where()
    if place == "here":
        return _(
            "Only programs on this computer can reach this address. To open it to others, "
            "start Finetune with HOST and PUBLIC_URL (docs/teams.md)."
        )
    if place == "network":
        return _("Programs in your network can reach this address. A key guards it.")
    return _(
        "This name can be reached from the internet, if your firewall lets it. A key guards "
        "it: keep keys out of web pages and apps."
    )


def where() -> str:
    """From where people and programs come here: "here" (this computer), "network", "internet"."""
    if settings.ONLY_THIS_COMPUTER:
        return "here"
    return "network" if _is_inside(settings.PUBLIC_HOST) else "internet"


def _is_inside(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.rpartition(".")[2].lower() in NOT_PUBLIC


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _curl(address: str, given: dict[str, Any], key: str) -> str:
    return (
        f"curl {address}/chat/completions \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(given, ensure_ascii=False, indent=2))}"
    )


def _python(address: str, given: dict[str, Any], key: str) -> str:
    words = {True: "True", False: "False", None: "None"}
    lines = [f"    model={_text(given['model'])},", "    messages=["]
    lines += [f"        {_text(one)}," for one in given["messages"]]
    lines.append("    ],")
    lines += [
        f"    {name}={words[value] if isinstance(value, bool | None) else _text(value)},"
        for name, value in given.items()
        if name not in ("model", "messages")
    ]
    return "\n".join(
        [
            "from openai import OpenAI",
            "",
            f"client = OpenAI(base_url={_text(address)}, api_key={_text(key)})",
            "answer = client.chat.completions.create(",
            *lines,
            ")",
            "print(answer.choices[0].message.content)",
        ]
    )


def _javascript(address: str, given: dict[str, Any], key: str) -> str:
    lines = [f"  model: {_text(given['model'])},", "  messages: ["]
    lines += [f"    {_text(one)}," for one in given["messages"]]
    lines.append("  ],")
    lines += [
        f"  {name}: {_text(value)},"
        for name, value in given.items()
        if name not in ("model", "messages")
    ]
    return "\n".join(
        [
            'import OpenAI from "openai"',
            "",
            "const client = new OpenAI({",
            f"  baseURL: {_text(address)},",
            f"  apiKey: {_text(key)},",
            "})",
            "const answer = await client.chat.completions.create({",
            *lines,
            "})",
            "console.log(answer.choices[0].message.content)",
        ]
    )
