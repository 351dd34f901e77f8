"""A file that is too large ends in a page that says so."""

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest


class CappedUpload(FileUploadHandler):
    """Counts the file while the form is read; the view finds `request.upload_too_large`.

    By then the request has arrived whole. What is far too large never does (core/body_limit.py).
    """

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.counted_request = request
        self.arrived = 0
        request.upload_too_large = False  # type: ignore[attr-defined]

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.arrived += len(raw_data)
        if self.arrived > settings.MAX_UPLOAD_BYTES:
            self.counted_request.upload_too_large = True  # type: ignore[attr-defined]
            raise StopUpload(connection_reset=True)
        return raw_data

    def file_complete(self, file_size: int) -> "UploadedFile[Any] | None":
        return None
