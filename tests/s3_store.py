"""An S3-compatible store in this process, and hosts with folders of their own that share it."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto import mock_aws

S3 = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {"bucket_name": "finetune"}}


@contextmanager
def s3_store(settings, monkeypatch) -> Iterator[None]:
    """The store of files is an empty bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of a test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of a test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings.STORAGES = settings.STORAGES | {"default": S3}
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="finetune")
        yield
