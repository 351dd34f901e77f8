"""Shows a view of allauth with a template of ours."""

from typing import Any

from django.http import HttpResponse
from django.views.generic.base import TemplateResponseMixin

from finetune_app.accounts.requests import HttpRequest


def show(
    view: type[TemplateResponseMixin], template: str, request: HttpRequest, **kwargs: Any
) -> HttpResponse:
    """A form that is shown again, with its errors, has the status 422."""
    response: HttpResponse = view.as_view(template_name=template)(request, **kwargs)  # type: ignore[attr-defined]
    if request.method == "POST" and response.status_code == 200:
        response.status_code = 422
    return response
