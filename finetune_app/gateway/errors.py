"""Errors in OpenAI's format, so that its client libraries raise the matching exception."""

from typing import TypedDict

from django.http import JsonResponse

CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that disconnects before the end
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


class ErrorDetails(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class ApiError(Exception):
    """An error whose message is for the person who reads the program's log.

    `error_type`: OpenAI's type, where the status does not determine it. `should_retry`: False if
    trying again soon cannot help. `retry_after` is in seconds.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        param: str | None = None,
        retry_after: int | None = None,
        error_type: str = "",
        should_retry: bool = True,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after, self.should_retry = retry_after, should_retry
        self.error_type = error_type or TYPES.get(status, "server_error")

    def body(self) -> dict[str, ErrorDetails]:
        return {
            "error": {
                "message": self.message,
                "type": self.error_type,
                "param": self.param,
                "code": self.code or None,
            }
        }

    def response(self) -> JsonResponse:
        response = JsonResponse(self.body(), status=self.status)
        if self.retry_after is not None:
            response["Retry-After"] = str(self.retry_after)
        if not self.should_retry:
            response["x-should-retry"] = "false"
        if self.status == 401:
            response["WWW-Authenticate"] = "Bearer"
        return response


def invalid_request(message: str, param: str | None = None, code: str = "") -> ApiError:
    return ApiError(400, message, param=param, code=code)


def internal_error() -> ApiError:
    """Tells nothing of the cause, which the server's log has."""
    return ApiError(500, "Something went wrong here. Try again.")
