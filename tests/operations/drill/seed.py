"""Fills an installation: a team that has been through all steps, and tokens stored encrypted."""

import django

django.setup()

from finetune_app.accounts import services as accounts
from finetune_app.accounts.models import Team
from finetune_app.core.encryption import encrypt
from finetune_app.providers.models import Endpoint
from tests import factories

EMAIL = "mara@kettle.example"

by = accounts.create_owner(email=EMAIL, name="Mara", password="correct horse", team_name="Kettle")
factories.build_world(Team.objects.get(), by)
Endpoint.objects.update(secret=encrypt("a provider's token"))
