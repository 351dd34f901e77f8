"""An upload handler that limits the size of files."""

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest


class SizeLimitUploadHandler(FileUploadHandler):
    """Sets `request.upload_too_large` for the view if a file is too large.

    Bodies far above the limit are rejected earlier (core/body_limit.py).
    """

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.marked_request = request  # the base class has its own `request`
        self.received = 0
        request.upload_too_large = False  # type: ignore[attr-defined]

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.received += len(raw_data)
        if self.received > settings.MAX_UPLOAD_BYTES:
            self.marked_request.upload_too_large = True  # type: ignore[attr-defined]
            raise StopUpload(connection_reset=True)
        return raw_data

    def file_complete(self, file_size: int) -> "UploadedFile[Any] | None":
        return None
