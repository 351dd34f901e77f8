"""A key's budget of money: refused once it is spent; requests without a price cost nothing."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import RequestFactory
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment import services as deployments
from finetune_app.deployment.models import Deployment
from finetune_app.gateway.access import authorised_key
from finetune_app.gateway.errors import ApiError
from finetune_app.goals.models import Goal
from finetune_app.monitoring import costs, key_budgets
from finetune_app.request_log import rollups
from finetune_app.request_log.models import Request

LIMITS = {
    "actions": ["chat", "models"],
    "requests_per_minute": "60",
    "tokens_per_minute": "1000",
    "tokens_per_month": "",
    "cost_per_month": "2.50",
    "currency": "EUR",
}


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch):
    monkeypatch.setattr(key_budgets, "_spent_cache", {})
    monkeypatch.setattr(key_budgets, "_recent_cache", {})
    monkeypatch.setattr(key_budgets, "RECENT_CACHE_SECONDS", 0.0)


@pytest.fixture
def made(live, team, owner):
    """(row, text) of a key with a budget of 2.50 euros a month."""
    return api_keys.create_key(
        team=team, by=owner, name="a shop", deployment=live, cost_per_month=Decimal("2.50")
    )


def use(key: ApiKey, tokens: int, deployment: Deployment | None = None) -> None:
    Request.objects.create(
        team=key.team,
        deployment=deployment or key.deployment,
        key=key,
        model="x",
        status=200,
        tokens=tokens,
        at=timezone.now(),
    )


def refused(text: str, action: str = "chat") -> ApiError | None:
    """The error for this key and action, or None."""
    request = RequestFactory().post("/v1/", headers={"Authorization": f"Bearer {text}"})
    try:
        authorised_key(request, action)
    except ApiError as problem:
        return problem
    return None


def test_a_spent_budget_is_insufficient_quota(made, live):
    key, text = made
    costs.set_price(deployment=live, currency="EUR", hour=None, read=None, written=Decimal(1))
    use(key, 2_400_000)
    assert refused(text) is None
    use(key, 100_000)
    key_budgets._spent_cache.clear()
    problem = refused(text)
    assert (problem.status, problem.code) == (429, "insufficient_quota")
    assert problem.response()["x-should-retry"] == "false"
    assert "€2.50" in problem.message
    assert refused(text, "models") is None  # listing models costs nothing


def test_spending_is_read_every_half_minute(made, live, monkeypatch):
    key, _text = made
    now = [0.0]
    monkeypatch.setattr(key_budgets.time, "monotonic", lambda: now[0])
    costs.set_price(deployment=live, currency="EUR", hour=None, read=None, written=Decimal(1))
    assert not key_budgets.is_over_budget(key)
    use(key, 9_000_000)
    assert not key_budgets.is_over_budget(key)
    now[0] += key_budgets.BUDGET_CACHE_SECONDS
    assert key_budgets.is_over_budget(key)


@pytest.mark.parametrize("currency", [None, "USD"])
def test_requests_without_a_matching_price_cost_nothing(made, live, currency):
    key, text = made
    if currency:
        costs.set_price(deployment=live, currency=currency, hour=None, read=None, written=1)
    use(key, 9_000_000)
    assert refused(text) is None


def test_the_keys_page_shows_the_budget(made, live, as_editor):
    key, _text = made
    given = LIMITS | {"cost_per_month": "20", "currency": "USD"}
    assert as_editor.post(f"/team/keys/{key.pk}/", given).status_code == 302
    page = as_editor.get("/team/keys/").content.decode()
    assert "at most $20.00, but no price is set" in page  # unknown, not zero
    assert "$0.00" not in page
    key.refresh_from_db()
    assert (key.cost_per_month, key.currency) == (Decimal(20), "USD")
    costs.set_price(deployment=live, currency="USD", hour=None, read=None, written=Decimal(1))
    use(key, 21_000_000)
    page = as_editor.get("/team/keys/").content.decode()
    assert "$21.00 of $20.00" in page
    assert "Spent: refused until the month ends" in page
    as_editor.post(f"/team/keys/{key.pk}/", LIMITS | {"cost_per_month": ""})
    assert "of $" not in as_editor.get("/team/keys/").content.decode()


def test_what_a_key_spent_on_a_deleted_deployment_stays_spent(team, owner, live, goal):
    key, text = api_keys.create_key(
        team=team, by=owner, name="the till", cost_per_month=Decimal("2.50")
    )
    costs.set_price(deployment=live, currency="EUR", hour=None, read=None, written=Decimal(1))
    use(key, 3_000_000, deployment=live)
    goal.delete()
    key.refresh_from_db()
    assert costs.spent_by(key) == {"EUR": pytest.approx(3.0)}
    assert refused(text).code == "insufficient_quota"
    assert costs.spent_by(key, timezone.now() + timedelta(days=32)) == {}


def test_two_deleted_deployments_add_up(team, owner, live, goal):
    key, _text = api_keys.create_key(team=team, by=owner, name="the till")
    other = Goal.objects.create(team=team, name="Write replies", created_by=owner)
    candidate = live.current.candidate
    second = deployments.go_live(goal=other, candidate=candidate, by=owner).deployment
    for deployment, currency in ((live, "EUR"), (second, "USD")):
        costs.set_price(
            deployment=deployment, currency=currency, hour=None, read=None, written=Decimal(1)
        )
        use(key, 1_000_000, deployment=deployment)
    before = costs.spent_by(key)
    other.delete()
    goal.delete()
    key.refresh_from_db()
    assert costs.spent_by(key) == before == {"EUR": pytest.approx(1), "USD": pytest.approx(1)}


@pytest.fixture
def reads(monkeypatch) -> list[datetime]:
    """Each time that the recent requests of all teams are read."""
    found: list[datetime] = []
    requests_since = rollups.requests_since

    def noted(since: datetime, until: datetime | None = None) -> list[rollups.RequestFacts]:
        found.append(since)
        return requests_since(since, until)

    monkeypatch.setattr(rollups, "requests_since", noted)
    return found


@pytest.fixture
def others(made, team, owner) -> list[ApiKey]:
    """Two more keys with a budget."""
    return [
        api_keys.create_key(team=team, by=owner, name=name, cost_per_month=Decimal(1))[0]
        for name in ("the till", "the mailbox")
    ]


def test_the_keys_page_reads_the_requests_of_all_teams_once(made, others, live, as_editor, reads):
    costs.set_price(deployment=live, currency="EUR", hour=None, read=None, written=Decimal(1))
    use(made[0], 500_000)
    page = as_editor.get("/team/keys/").content.decode()
    assert "€0.50 of €2.50" in page
    assert page.count("€0.00 of €1.00") == 2
    assert len(reads) == 1


def test_keys_that_ask_side_by_side_share_what_was_read(made, others, live, reads, monkeypatch):
    monkeypatch.setattr(key_budgets, "RECENT_CACHE_SECONDS", 5.0)
    now = [100.0]
    monkeypatch.setattr(key_budgets.time, "monotonic", lambda: now[0])
    costs.set_price(deployment=live, currency="EUR", hour=None, read=None, written=Decimal(1))
    use(made[0], 9_000_000)
    assert [key_budgets.is_over_budget(key) for key in (made[0], *others)] == [True, False, False]
    assert len(reads) == 1
    now[0] += key_budgets.BUDGET_CACHE_SECONDS
    assert key_budgets.is_over_budget(made[0])
    assert len(reads) == 2


def test_a_budget_of_zero_is_refused(made, as_editor):
    reply = as_editor.post(f"/team/keys/{made[0].pk}/", LIMITS | {"cost_per_month": "0"})
    assert reply.status_code == 422
