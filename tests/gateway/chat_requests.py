"""Chat completions with the OpenAI client."""

MODEL = "sort-shop-emails"


HELLO = [{"role": "user", "content": "Hello there"}]


def ask(client, **more):
    return client.chat.completions.create(
        **{"model": MODEL, "messages": HELLO, "max_tokens": 12} | more
    )
