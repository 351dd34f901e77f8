"""The list of remote models: members see names, owners everything but keys."""

from tests.accounts.pages import text
from tests.fake_provider import KEY

PAGE = "/team/models/"


def test_the_empty_page_says_that_everything_stays_here(as_owner, as_viewer):
    assert "Add a remote model" in text(as_owner.get(PAGE))
    page = text(as_viewer.get(PAGE))
    assert "Everything stays on this machine" in page
    assert "/add/" not in page


def test_members_see_names_owners_see_where(as_owner, as_viewer, endpoint):
    for seen, hidden in ((as_owner.get(PAGE), ""), (as_viewer.get(PAGE), endpoint.url)):
        assert endpoint.name in text(seen)
        assert not hidden or hidden not in text(seen)
    assert endpoint.url in text(as_owner.get(PAGE))


def test_another_team_sees_none_of_it(as_stranger, endpoint):
    assert endpoint.name not in text(as_stranger.get(PAGE))


def test_trying_it_shows_the_answer_and_what_it_cost(as_owner, platform, endpoint):
    page = text(as_owner.post(f"{PAGE}{endpoint.pk}/try/"))
    assert "It is 5." in page
    assert "40 tokens in, 4 out" in page
    assert "cost not set" in page
    endpoint.price_in, endpoint.price_out = 100_000, 500_000
    endpoint.save()
    assert "cost 6" in text(as_owner.post(f"{PAGE}{endpoint.pk}/try/"))


def test_errors_are_shown_beside_the_name(as_owner, platform, team, owner):
    for kind, told in (("wrong key", "did not accept the key"), ("mute", "answer was empty")):
        endpoint = platform.endpoint(team, owner, kind)
        page = text(as_owner.post(f"{PAGE}{endpoint.pk}/try/"))
        assert told in page
        assert KEY not in page


def test_htmx_gets_only_the_list(as_owner, endpoint):
    reply = as_owner.post(f"{PAGE}{endpoint.pk}/try/", headers={"HX-Request": "true"})
    assert text(reply).lstrip().startswith('<section id="models"')
