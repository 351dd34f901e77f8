"""Errors in OpenAI's form, so that its clients raise the exception that fits."""

from typing import Any

from django.http import JsonResponse

GONE = 499  # they went away before the end; nginx's number for it
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """What went wrong, for a program and for the person who reads its log."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        param: str | None = None,
        retry_after: int | None = None,
        kind: str = "",
        again: bool = True,
    ) -> None:
        """`kind`: its type, where the status does not say it; not `again`: it is no use to try
        again soon, and clients should not."""
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after, self.again = retry_after, again
        self.kind = kind or TYPES.get(status, "server_error")

    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code or None,
            }
        }

    def response(self) -> JsonResponse:
        response = JsonResponse(self.body(), status=self.status)
        if self.retry_after is not None:
            response["Retry-After"] = str(self.retry_after)
        if not self.again:
            response["x-should-retry"] = "false"
        if self.status == 401:
            response["WWW-Authenticate"] = "Bearer"
        return response
