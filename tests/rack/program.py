"""A program that asks the API through the proxy, with one try each."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import httpx

from finetune_app.core.engines import LOADING
from tests.rack.hosts import MOST_SECONDS

ONCE = "Once upon a time there was a bicycle, and"  # continued for as long as it is let


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    problem: str
    """What an error says, of the response or in the stream; or how the connection broke."""
    web: str
    """Through which it came."""
    ended_at: float

    @property
    def is_whole(self) -> bool:
        return self.status == 200 and not self.problem


class Program:
    def __init__(self, site: str, key: str, model: str) -> None:
        self.site, self.key, self.model = site, key, model
        self.headers = {"Authorization": f"Bearer {key}"}

    def ask(
        self, question: str = "Mix red and green, order 7.", *, patience: float = 120
    ) -> Answer:
        """patience: seconds until it gives up."""
        messages = [{"role": "user", "content": question}]
        body = {"model": self.model, "messages": messages, "max_tokens": 12}
        with httpx.Client(timeout=patience) as client:
            try:
                told = client.post(
                    f"{self.site}/v1/chat/completions", json=body, headers=self.headers
                )
            except httpx.HTTPError as error:
                return _broken(error)
        text = problem = ""
        if told.status_code == 200:
            text = told.json()["choices"][0]["message"]["content"]
        else:
            problem = told.text[:300]
        return Answer(told.status_code, text, problem, _web(told), time.monotonic())

    def tokens(self, most: int) -> int:
        """How many an answer of at most so many had."""
        body = {"model": self.model, "prompt": ONCE, "max_tokens": most}
        while True:
            told = httpx.post(
                f"{self.site}/v1/completions", json=body, headers=self.headers, timeout=MOST_SECONDS
            )
            if told.status_code != 429:  # one host has too much to do: it says when to ask again
                break
            time.sleep(float(told.headers["Retry-After"]))
        told.raise_for_status()
        return int(told.json()["usage"]["completion_tokens"])

    def asks_often(self) -> None:
        """So many at once that each engine has loaded the model afterwards (core/engines.py)."""
        with ThreadPoolExecutor(3 * LOADING) as pool:
            assert all(one.is_whole for one in pool.map(lambda _: self.ask(), range(3 * LOADING)))

    def stream(self, tokens: int = 300, begun: Event | None = None) -> Answer:
        """A long text, piece by piece; `begun` is set with the first."""
        body = {"model": self.model, "prompt": ONCE, "max_tokens": tokens, "stream": True}
        text = problem = ""
        ended = False
        with httpx.Client(timeout=400) as client:
            try:
                with client.stream(
                    "POST", f"{self.site}/v1/completions", json=body, headers=self.headers
                ) as told:
                    if told.status_code != 200:
                        problem = told.read().decode()[:300]
                    for line in told.iter_lines():
                        event = line.removeprefix("data: ")
                        ended = ended or event == "[DONE]"
                        if event.startswith("{"):
                            read = json.loads(event)
                            problem = problem or read.get("error", {}).get("message", "")
                            text += "".join(one["text"] for one in read.get("choices", []))
                            if text and begun:
                                begun.set()
            except httpx.HTTPError as error:
                return _broken(error)
        if not ended and not problem:
            problem = "it ended early, without a word"
        return Answer(told.status_code, text, problem, _web(told), time.monotonic())


def _web(told: httpx.Response) -> str:
    return str(told.headers.get("X-Web", "the proxy"))


def _broken(error: httpx.HTTPError) -> Answer:
    return Answer(0, "", f"the connection broke: {error}", "", time.monotonic())
