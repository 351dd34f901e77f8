"""Code snippets send exactly the request, whatever characters it contains."""

import ast
import json
import shlex

import pytest

from finetune_app.deployment import code_snippets

NASTY = [
    {"role": "system", "content": "Say \"yes\" & never 'no'.\nTwice."},
    {"role": "user", "content": "a\\b </pre><script>alert(1)</script> $HOME `id` ü 🚲"},
]
SETTINGS = {"temperature": 0.7, "max_tokens": 40, "stream": True}


def code(language: str) -> str:
    found = code_snippets.snippets_for("shop-mail", NASTY, "ft-1234-x", **SETTINGS)
    return next(one.code for one in found if one.language == language)


def test_curl_sends_the_request(settings):
    words = shlex.split(code("curl").replace("\\\n", " "))
    assert words[1] == f"{settings.PUBLIC_URL}/v1/chat/completions"
    assert "Authorization: Bearer ft-1234-x" in words
    sent = json.loads(words[words.index("-d") + 1])
    assert sent == {"model": "shop-mail", "messages": NASTY} | SETTINGS


def test_python_sends_the_request():
    tree = ast.parse(code("Python"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.keywords]
    client, create = sorted(calls, key=lambda call: call.lineno)[:2]
    assert {word.arg for word in client.keywords} == {"base_url", "api_key"}
    sent = {word.arg: ast.literal_eval(word.value) for word in create.keywords}
    assert sent == {"model": "shop-mail", "messages": NASTY} | SETTINGS


def test_javascript_sends_the_request():
    inside = code("JavaScript").partition("create({")[2].partition("\n})")[0]
    lines = [line.strip() for line in inside.splitlines()]
    messages = [json.loads(line.rstrip(",")) for line in lines if line.startswith('{"role"')]
    assert messages == NASTY
    assert {"temperature: 0.7,", "max_tokens: 40,", "stream: true,"} <= set(lines)


def test_html_is_escaped_and_marks_strings():
    found = code_snippets.snippets_for("shop-mail", NASTY)[1]
    assert "<script" not in found.html
    assert '<span class="s">&quot;shop-mail&quot;</span>' in found.html


@pytest.mark.parametrize(
    ("host", "only_here", "reach"),
    [
        ("127.0.0.1", True, "here"),
        ("192.168.1.7", False, "network"),
        ("workshop", False, "network"),
        ("ai.kettle.lan", False, "network"),
        ("mail.kettlelane.example", False, "internet"),
        ("8.8.8.8", False, "internet"),
    ],
)
def test_it_says_who_can_reach_the_address(settings, host, only_here, reach):
    settings.PUBLIC_HOST, settings.ONLY_THIS_COMPUTER = host, only_here
    assert code_snippets.network_reach() == reach
    assert {"here": "this computer", "network": "your network", "internet": "the internet"}[
        reach
    ] in code_snippets.reach_sentence()
