"""Code that sends one given request to the API: curl, Python and JavaScript."""

import ipaddress
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message

KEY_PLACEHOLDER = "ft-…"
EXAMPLE_MESSAGES: Sequence[Message] = ({"role": "user", "content": "…"},)
STRING_LITERAL = re.compile(r"&quot;(?:\\.|(?!&quot;)[^\n])*?&quot;")  # in escaped code
PRIVATE_DOMAINS = ("local", "lan", "home", "internal", "localdomain", "corp")


@dataclass(frozen=True)
class Snippet:
    language: str
    code: str

    @property
    def html(self) -> SafeString:
        """Escaped, with its string literals marked up for colour."""
        return mark_safe(STRING_LITERAL.sub(r'<span class="s">\g<0></span>', escape(self.code)))


def snippets_for(
    model: str,
    messages: Sequence[Message] = EXAMPLE_MESSAGES,
    key: str = "",
    **settings: Any,
) -> list[Snippet]:
    """One snippet for each language. settings: other fields of the request, such as temperature."""
    given, address = {"model": model, "messages": [*messages], **settings}, api_address()
    return [
        Snippet("curl", _curl(address, given, key or KEY_PLACEHOLDER)),
        Snippet("Python", _python(address, given, key or KEY_PLACEHOLDER)),
        Snippet("JavaScript", _javascript(address, given, key or KEY_PLACEHOLDER)),
    ]


def api_address() -> str:
    """The base URL for programs."""
    return f"{settings.PUBLIC_URL}/v1"


def reach_sentence() -> str:
    """A sentence that says who can reach that address."""
    place = network_reach()
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


def network_reach() -> Literal["here", "network", "internet"]:
    """From where this installation can be reached; "here" is this computer alone."""
    if settings.ONLY_THIS_COMPUTER:
        return "here"
    return "network" if _is_private(settings.PUBLIC_HOST) else "internet"


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.rpartition(".")[2].lower() in PRIVATE_DOMAINS


def _json(value: Any) -> str:
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
    lines = [f"    model={_json(given['model'])},", "    messages=["]
    lines += [f"        {_json(one)}," for one in given["messages"]]
    lines.append("    ],")
    lines += [
        f"    {name}={words[value] if isinstance(value, bool | None) else _json(value)},"
        for name, value in given.items()
        if name not in ("model", "messages")
    ]
    return "\n".join(
        [
            "from openai import OpenAI",
            "",
            f"client = OpenAI(base_url={_json(address)}, api_key={_json(key)})",
            "answer = client.chat.completions.create(",
            *lines,
            ")",
            "print(answer.choices[0].message.content)",
        ]
    )


def _javascript(address: str, given: dict[str, Any], key: str) -> str:
    lines = [f"  model: {_json(given['model'])},", "  messages: ["]
    lines += [f"    {_json(one)}," for one in given["messages"]]
    lines.append("  ],")
    lines += [
        f"  {name}: {_json(value)},"
        for name, value in given.items()
        if name not in ("model", "messages")
    ]
    return "\n".join(
        [
            'import OpenAI from "openai"',
            "",
            "const client = new OpenAI({",
            f"  baseURL: {_json(address)},",
            f"  apiKey: {_json(key)},",
            "})",
            "const answer = await client.chat.completions.create({",
            *lines,
            "})",
            "console.log(answer.choices[0].message.content)",
        ]
    )
