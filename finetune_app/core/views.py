"""The error pages."""

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from finetune_app.core.connections import none_was_free
from finetune_app.core.logs import request_id
from finetune_app.core.request_limits import too_busy


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "errors/400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "errors/403.html", {"reason": str(exception or "")}, status=403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "errors/404.html", status=404)


def too_many_requests(request: HttpRequest) -> HttpResponse:
    return render(request, "errors/429.html", status=429)


def server_error(request: HttpRequest) -> HttpResponse:
    if none_was_free(sys.exc_info()[1]):
        return too_busy(request)
    return render(request, "errors/500.html", {"request_id": request_id.get()}, status=500)
