"""Nothing behind a link for votes tells which answer is whose, or what is compared."""

import re

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from finetune_app.evaluation.models import Voter
from finetune_app.evaluation.votes.ballots import control_of
from tests.evaluation.conftest import address_of

# The policy of each page has a "base-uri", and a style sheet is called "base".
OTHER_BASES = re.compile(
    r"base-uri|css/base\.css|Cache-Control|csrfmiddlewaretoken\" value=\"[^\"]*\""
)
NAMES = r"\b(base|ours|tuned|candidate|baseline|repeat|nearest|control|model|measure|verdict)\b"


def every_page(browser, address) -> list:
    """The welcome, each pair, the thanks, and the way between them."""
    found = [browser.get(address), browser.post(address, {"start": "1"})]
    voter = Voter.objects.latest("pk")
    for position in range(len(voter.pairs)):
        found.append(browser.get(address))
        found.append(browser.post(address, {"vote": "a", "pair": str(position)}))
    found += [browser.get(f"{address}?stop"), browser.get(address)]
    found.append(browser.post(address, {"vote": "a", "pair": "999"}))
    found.append(browser.post(address, {"vote": "x", "pair": "0"}))
    return found


def test_no_page_header_or_cookie_names_anything(address, compared, goal, team, owner):
    browser = Client()
    replies = every_page(browser, address)
    assert len(replies) > 10
    secrets = [team.name, goal.name, owner.name, owner.email, compared.base.base_model.name]
    secrets += [one.name for one in compared.candidates()]
    for reply in replies:
        headers = "\n".join(f"{name}: {value}" for name, value in reply.items())
        cookies = "\n".join(str(cookie) for cookie in reply.cookies.values())
        page = reply.content.decode()
        for secret in secrets:
            assert secret not in page + headers + cookies
        words = OTHER_BASES.sub("", page + headers + cookies)
        assert not re.search(NAMES, words, re.IGNORECASE)
        assert set(re.findall(r'<input[^>]* name="(\w+)"', page)) <= {
            "csrfmiddlewaretoken",
            "pair",
            "start",
            "name",
        }


def test_the_address_stays_the_same_all_the_way(address):
    browser = Client()
    for reply in every_page(browser, address):
        assert reply.get("Location", address) == address


def test_pages_of_the_same_pair_differ_only_in_the_sides(compared, address):
    """Left or right, the markup is the same."""
    shapes = set()
    for _n in range(6):
        browser = Client()
        browser.post(address, {"start": "1"})
        voter = Voter.objects.latest("pk")
        voter.pairs = [pair for pair in voter.pairs if pair["index"] == 0 and not control_of(pair)]
        voter.save()
        page = browser.get(address).content.decode()
        shapes.add(re.sub(r"Long and winding 0|Short 0|value=\"\w{64}\"", "…", page))
    assert len(shapes) == 1


def test_a_control_pair_reads_the_same_rows_as_any_other(compared, address, guest):
    """So that not even the time tells it."""
    voter = Voter.objects.get()
    asked = {}
    for position in range(len(voter.pairs)):
        with CaptureQueriesContext(connection) as queries:
            guest.get(address)
        key = bool(control_of(voter.pairs[position]))
        asked.setdefault(key, set()).add(
            tuple(re.sub(r"\d+", "n", query["sql"]) for query in queries)
        )
        guest.post(address, {"vote": "tie", "pair": str(position)})
    assert asked[True] == asked[False]
    assert len(asked[True]) == 1


def test_it_is_not_kept_nor_indexed(address):
    reply = Client().get(address)
    assert reply["Cache-Control"] == "no-store"
    assert reply["X-Robots-Tag"] == "noindex"


def test_the_cookie_is_signed_and_out_of_reach_of_scripts(guest, address):
    (cookie,) = (one for name, one in guest.cookies.items() if name.startswith("voter-"))
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    forged = Client()
    forged.cookies[cookie.key] = cookie.value.partition(":")[0]
    assert "Begin" in forged.get(address).content.decode()


def test_a_voter_of_another_link_is_a_stranger(compared, owner, guest):
    other = address_of(compared, owner)
    (cookie,) = (one for name, one in guest.cookies.items() if name.startswith("voter-"))
    browser = Client()
    for number in range(100):
        browser.cookies[f"voter-{number}"] = cookie.value
    assert "Begin" in browser.get(other).content.decode()
