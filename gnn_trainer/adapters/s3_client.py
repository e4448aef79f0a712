"""A boto3 client for MinIO, or any server that speaks S3, as the settings describe it.

The flow makes its client through prefect_aws from the same terms (`flows/stores.py`).
"""

from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config

from gnn_trainer.services import MinioSettings

S3Client = Any  # botocore makes its classes at run time and ships no types
ClientFactory = Callable[[MinioSettings], S3Client]

_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 20  # of silence: how long a stop may have to wait for a call
_POOL = 16


def connect(minio: MinioSettings) -> S3Client:
    """A client, not connected yet: nothing is asked before the first call."""
    return _client(minio, client_terms())


def connect_once(minio: MinioSettings) -> S3Client:
    """As `connect`, without patience: for `--check`."""
    hasty = {"retries": {"total_max_attempts": 1}, "read_timeout": _CONNECT_TIMEOUT_S}
    return _client(minio, client_terms() | hasty)


def client_terms() -> dict[str, Any]:
    """How a server is spoken to, as the arguments of botocore's Config.

    Checksums beyond the signature's are left out where they are optional: servers that are some
    years old refuse them, and every published file has its sha256 in the manifest.
    """
    return {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "path"},
        "retries": {"mode": "standard", "total_max_attempts": 2},
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "read_timeout": _READ_TIMEOUT_S,
        "max_pool_connections": _POOL,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }


def _client(minio: MinioSettings, terms: dict[str, Any]) -> S3Client:
    session = boto3.Session(
        aws_access_key_id=minio.access_key.get_secret_value(),
        aws_secret_access_key=minio.secret_key.get_secret_value(),
        region_name=minio.region,
    )
    return session.client(
        "s3",
        endpoint_url=minio.url,
        verify=None if minio.ca_path is None else str(minio.ca_path),
        config=Config(**terms),
    )
