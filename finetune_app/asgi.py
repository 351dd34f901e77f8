"""The web, as uvicorn serves it."""

import os

from django.core.asgi import get_asgi_application

from finetune_app.core.body_cap import BodyCap
from finetune_app.core.patience import Patience
from finetune_app.core.tracing import traced

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
application = Patience(traced(BodyCap(get_asgi_application())))
