"""The lock of an address from which many sign-ins failed, whatever accounts they tried.

django-axes locks one account for one address; it counts the failures that are added up here.
"""

from datetime import timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest
from django.utils import timezone

from finetune_app.core.requests import client_network


def address_is_locked(request: HttpRequest) -> bool:
    since = timezone.now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
    here = client_network(request)
    attempts = AccessAttempt.objects.filter(ip_address=here, attempt_time__gte=since)
    failures = attempts.aggregate(failures=Sum("failures_since_start"))["failures"] or 0
    return bool(failures >= settings.MAX_FAILED_SIGN_INS_PER_ADDRESS)
