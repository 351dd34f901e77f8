"""The web, as uvicorn serves it."""

import os

from django.core.asgi import get_asgi_application

from finetune_app.core.body_limit import BodyLimit
from finetune_app.core.slow_clients import SlowClientTimeout
from finetune_app.core.tracing import traced

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
application = SlowClientTimeout(traced(BodyLimit(get_asgi_application())))
