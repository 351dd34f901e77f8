"""Shows a view of allauth with a template of ours."""

from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.generic.base import TemplateResponseMixin

from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.errors import PlainError


def show(
    view: type[TemplateResponseMixin], template: str, request: HttpRequest, **kwargs: Any
) -> HttpResponse:
    """A form that is shown again, with its errors, has the status 422.

    Raises PlainError while the broker, which counts tries and used codes, is away.
    """
    answer = view.as_view(template_name=template)  # type: ignore[attr-defined]
    try:
        response: HttpResponse = answer(request, **kwargs)
    except Exception as error:
        if type(error).__module__ != "redis.exceptions":  # which costs 20 MB to import
            raise
        raise PlainError(
            _("Codes cannot be checked at the moment, because Redis does not answer. Try again."),
            status=503,
        ) from error
    if request.method == "POST" and response.status_code == 200:
        response.status_code = 422
    return response
