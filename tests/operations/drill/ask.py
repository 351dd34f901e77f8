"""Asks an installation's API with the key in the arguments, and prints the status as JSON."""

import sys

import django

django.setup()

from django.conf import settings
from django.test import Client

settings.ALLOWED_HOSTS += ["testserver"]
print(Client().get("/v1/models", headers={"Authorization": f"Bearer {sys.argv[1]}"}).status_code)
