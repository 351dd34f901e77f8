"""Where files are kept: on this disk, or in an S3-compatible store (S3_BUCKET)."""

import os
from pathlib import Path
from typing import Any


def backend(data_dir: Path) -> dict[str, Any]:
    """The value of STORAGES["default"]."""
    if not os.environ.get("S3_BUCKET"):
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": data_dir, "base_url": None},
        }
    from botocore.config import Config  # only needed with such a store

    # By itself it waits a minute for a connection, and tries five times.
    retries = {"total_max_attempts": 3, "mode": "standard"}
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": os.environ["S3_BUCKET"],
            "endpoint_url": os.environ.get("S3_ENDPOINT_URL"),
            "file_overwrite": True,
            "client_config": Config(connect_timeout=5, retries=retries),
        },
    }
