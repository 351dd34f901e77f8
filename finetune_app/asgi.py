"""The web, as the web processes serve it."""

import os

import django
from django.conf import settings
from django.core import signals
from django.db import close_old_connections, reset_queries

from finetune_app.core import in_use
from finetune_app.core.asgi_handlers import PagesAndApi
from finetune_app.core.asgi_types import Scope
from finetune_app.core.body_limit import BodyLimit
from finetune_app.core.health import HealthEndpoints
from finetune_app.core.request_ids import RequestIds
from finetune_app.core.slow_clients import SlowClientTimeout
from finetune_app.core.tracing import traced

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
django.setup(set_prefix=False)
# A thread gives its connections back itself when its request has ended (core/asgi_handlers.py).
# With these, Django would ask it to before each request, too, and wait for it.
signals.request_started.disconnect(close_old_connections)
signals.request_started.disconnect(reset_queries)
django_app = PagesAndApi()
in_use.hold(settings.DATA_DIR, "web")


async def is_known_sender(scope: Scope) -> bool:
    from finetune_app.api_keys import senders  # needs Django's apps

    return await senders.is_known_sender(scope)


application = RequestIds(
    HealthEndpoints(SlowClientTimeout(traced(BodyLimit(django_app, is_known_sender))))
)
