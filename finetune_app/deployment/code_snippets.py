"""Code in curl, Python and JavaScript that sends a given request to the API."""

import ipaddress
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message

KEY_PLACEHOLDER = "ft-…"
EXAMPLE_MESSAGES: Sequence[Message] = ({"role": "user", "content": "…"},)
STRING_LITERAL = re.compile(r"&quot;(?:\\.|(?!&quot;)[^\\\n])*+&quot;")  # in escaped code
PRIVATE_DOMAINS = ("local", "lan", "home", "internal", "localdomain", "corp")


@dataclass(frozen=True)
class Snippet:
    language: str
    code: str

    @property
    def html(self) -> SafeString:
        """Escaped, with its string literals marked up for colour."""
        return mark_safe(STRING_LITERAL.sub(r'<span class="s">\g<0></span>', escape(self.code)))


@dataclass(frozen=True)
class _ApiCall:
    address: str
    key: str
    model: str
    messages: Sequence[Message]
    settings: dict[str, object]


def snippets_for(
    model: str,
    messages: Sequence[Message] = EXAMPLE_MESSAGES,
    key: str = "",
    **settings: object,
) -> list[Snippet]:
    """One snippet for each language. settings: other fields of the request, such as temperature."""
    call = _ApiCall(api_address(), key or KEY_PLACEHOLDER, model, messages, settings)
    return [
        Snippet("curl", _curl(call)),
        Snippet("Python", _python(call)),
        Snippet("JavaScript", _javascript(call)),
    ]


def api_address() -> str:
    """The base URL of the API."""
    return f"{settings.PUBLIC_URL}/v1"


def reach_sentence() -> str:
    """A sentence that says who can reach the API."""
    reach = network_reach()
    if reach == "here":
        return _(
            "Only programs on this computer can reach this address. To open it to others, "
            "start Finetune with HOST and PUBLIC_URL (docs/teams.md)."
        )
    if reach == "network":
        return _("Programs in your network can reach this address. A key guards it.")
    return _(
        "This name can be reached from the internet, if your firewall lets it. A key guards "
        "it: keep keys out of web pages and apps."
    )


def network_reach() -> Literal["here", "network", "internet"]:
    """Who can reach this installation; "here": only this computer."""
    if settings.ONLY_THIS_COMPUTER:
        return "here"
    return "network" if _is_private(settings.PUBLIC_HOST) else "internet"


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.rpartition(".")[2].lower() in PRIVATE_DOMAINS


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _curl(call: _ApiCall) -> str:
    body = {"model": call.model, "messages": [*call.messages], **call.settings}
    return (
        f"curl {call.address}/chat/completions \\\n"
        f'  -H "Authorization: Bearer {call.key}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False, indent=2))}"
    )


def _python(call: _ApiCall) -> str:
    lines = [f"    model={_json(call.model)},", "    messages=["]
    lines += [f"        {_json(one)}," for one in call.messages]
    lines.append("    ],")
    lines += [
        f"    {name}={value if isinstance(value, bool | None) else _json(value)},"
        for name, value in call.settings.items()
    ]
    return "\n".join(
        [
            "from openai import OpenAI",
            "",
            f"client = OpenAI(base_url={_json(call.address)}, api_key={_json(call.key)})",
            "answer = client.chat.completions.create(",
            *lines,
            ")",
            "print(answer.choices[0].message.content)",
        ]
    )


def _javascript(call: _ApiCall) -> str:
    lines = [f"  model: {_json(call.model)},", "  messages: ["]
    lines += [f"    {_json(one)}," for one in call.messages]
    lines.append("  ],")
    lines += [f"  {name}: {_json(value)}," for name, value in call.settings.items()]
    return "\n".join(
        [
            'import OpenAI from "openai"',
            "",
            "const client = new OpenAI({",
            f"  baseURL: {_json(call.address)},",
            f"  apiKey: {_json(call.key)},",
            "})",
            "const answer = await client.chat.completions.create({",
            *lines,
            "})",
            "console.log(answer.choices[0].message.content)",
        ]
    )
