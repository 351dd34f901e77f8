"""Uses an installation: opens pages, reads a stored token, names the goals; prints it as JSON.

With an argument it also creates a goal of that name.
"""

import json
import sys

import django

django.setup()

from django.conf import settings
from django.test import Client

from finetune_app.accounts.models import User
from finetune_app.core.encryption import decrypt
from finetune_app.goals.models import Goal
from finetune_app.providers.models import Endpoint

PAGES = ["", "dataset/", "dataset/versions/", "training/", "evaluation/", "instructions/"]
PAGES += ["documents/", "chat/", "deployment/", "deployment/monitor/", "deployment/requests/"]


def opened() -> dict[str, int]:
    settings.ALLOWED_HOSTS += ["testserver"]
    client = Client()
    owner = User.objects.get(email="mara@kettle.example")
    client.force_login(owner, "django.contrib.auth.backends.ModelBackend")
    goal = Goal.objects.order_by("pk").first()
    assert goal is not None
    addresses = [f"/goals/{goal.pk}/{page}" for page in PAGES]
    return {address: client.get(address, follow=True).status_code for address in addresses}


if len(sys.argv) > 1:
    first = Goal.objects.order_by("pk").first()
    assert first is not None
    Goal.objects.create(team=first.team, name=sys.argv[1], created_by=first.created_by)
token = Endpoint.objects.first()
print(
    json.dumps(
        {
            "pages": opened(),
            "goals": sorted(Goal.objects.values_list("name", flat=True)),
            "token": decrypt(token.secret) if token else None,
        }
    )
)
