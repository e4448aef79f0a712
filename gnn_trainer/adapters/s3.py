"""Published models and checkpoints in a bucket: the ModelStore of MinIO and its kind."""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from gnn_trainer.adapters.keys import segments_of
from gnn_trainer.adapters.s3_client import ClientFactory, S3Client, connect
from gnn_trainer.adapters.s3_refusals import Place, code_of, explained
from gnn_trainer.errors import ArtifactError, TransientServiceError
from gnn_trainer.market.durable import storage_errors
from gnn_trainer.ports import Change, ModelStore
from gnn_trainer.services import MinioSettings

logger = logging.getLogger(__name__)

PART_BYTES = 8 * 2**20  # larger files go up in parts, each repeated by itself if it fails
_TRANSFER = TransferConfig(
    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4
)
_UPDATE_ATTEMPTS = 50
_PROBE = "_probe"
_TYPES = {
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
# The answers to a condition that no longer holds, that lost a race, or whose object is gone.
_OUTRUN = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404"}
_CONDITIONS_UNKNOWN = {"NotImplemented", "501"}
_ABSENT = {"NoSuchKey", "NoSuchBucket", "404"}
_FIRST_REGION = "us-east-1"  # the one that create_bucket must not be told


class S3Store(ModelStore):
    """Keys are object keys of one bucket. Safe for several processes; an object is whole or absent.

    A bucket that is absent is made by the first write.
    """

    def __init__(self, minio: MinioSettings, factory: ClientFactory = connect) -> None:
        self._client: S3Client = factory(minio)
        self._bucket = minio.bucket
        self._region = minio.region
        self._place = Place(minio.url, minio.bucket)
        self.location = f"s3://{minio.bucket}"

    def prepare(self) -> None:
        """Make the bucket if it is absent; write an object and remove it.

        Raises:
            ConfigError: the credentials are wrong, or do not allow what publishing needs.
            TransientServiceError: the server is away.
        """
        if not self.bucket_exists():
            self._make_bucket()
        self.put_bytes(_PROBE, b"")
        self.remove(_PROBE)

    def bucket_exists(self) -> bool:
        # Listing, not HEAD: an answer without body does not say why it refuses.
        with explained(self._place, "list the bucket"):
            try:
                self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)
            except ClientError as exc:
                if code_of(exc) == "NoSuchBucket":
                    return False
                raise
        return True

    def put_file(self, key: str, path: Path) -> None:
        with storage_errors(path), path.open("rb") as file:
            self._put(key, file, path.stat().st_size)

    def put_bytes(self, key: str, data: bytes) -> None:
        self._put(key, io.BytesIO(data), len(data))

    def read(self, key: str) -> bytes:
        found = self._get(key)
        if found is None:
            raise ArtifactError(f"{key!r} is not in {self.location}; expected a published file")
        return found[0]

    def exists(self, key: str) -> bool:
        segments_of(key)
        with self._absence(f"look for {key!r}"):
            self._client.head_object(Bucket=self._bucket, Key=key)
            return True
        return False

    def keys(self, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        found: list[str] = []
        with self._absence(f"list {prefix!r}"):
            found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return sorted(found)

    def remove(self, key: str) -> None:
        segments_of(key)
        with self._absence(f"remove {key!r}"):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def update(self, key: str, change: Change) -> bool:
        """Write on condition that nobody else wrote since; read again and repeat otherwise.

        A server that ignores or does not know conditions is noticed by reading back: then an
        older writer's content that came in between is replaced.
        """
        wrote, tried = False, None
        for _ in range(_UPDATE_ATTEMPTS):
            held, tag = self._get(key) or (None, None)
            if tried is not None and held == tried:
                return True  # also where the answer to our write was lost
            tried = change(held)
            if tried is None:
                return wrote
            wrote |= self._put_if_unchanged(key, tried, tag)
        raise TransientServiceError(
            f"{self._place}: {key!r} was changed by others {_UPDATE_ATTEMPTS} times while it was "
            "being updated"
        )

    def _get(self, key: str) -> tuple[bytes, str] | None:
        """Content and its ETag; None if the key is absent."""
        segments_of(key)
        with self._absence(f"read {key!r}"):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            return answer["Body"].read(), str(answer["ETag"])
        return None

    def _put(self, key: str, file: BinaryIO, size: int) -> None:
        """Overwrite, in parts if the file is large."""
        segments_of(key)

        def send() -> None:
            file.seek(0)
            named = {"Bucket": self._bucket, "Key": key}
            kind = {"ContentType": _content_type(key)}
            if size < PART_BYTES:
                self._client.put_object(Body=file.read(), **named, **kind)
            else:
                self._client.upload_fileobj(file, **named, ExtraArgs=kind, Config=_TRANSFER)

        self._write(key, send)

    def _put_if_unchanged(self, key: str, data: bytes, tag: str | None) -> bool:
        """Write if the key still has the ETag `tag`, or is still absent where that is None."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        named = {"Bucket": self._bucket, "Key": key, "ContentType": _content_type(key)}
        outcome = True

        def send() -> None:
            nonlocal outcome
            try:
                self._client.put_object(Body=data, **named, **condition)
            except ClientError as exc:
                if code_of(exc) in _CONDITIONS_UNKNOWN:
                    self._client.put_object(Body=data, **named)
                elif code_of(exc) in _OUTRUN:
                    outcome = False
                else:
                    raise

        self._write(key, send)
        return outcome

    def _write(self, key: str, send: Callable[[], object]) -> None:
        """Make the bucket if that is what a write lacks."""
        with explained(self._place, f"write {key!r}"):
            try:
                send()
            except ClientError as exc:
                if code_of(exc) != "NoSuchBucket":
                    raise
                self._make_bucket()
                send()

    def _make_bucket(self) -> None:
        logger.info("%s is absent; making it", self._place)
        terms = {} if self._region == _FIRST_REGION else {"LocationConstraint": self._region}
        with explained(self._place, "make the bucket, which is absent"):
            try:
                self._client.create_bucket(
                    Bucket=self._bucket,
                    **({"CreateBucketConfiguration": terms} if terms else {}),
                )
            except ClientError as exc:
                if code_of(exc) != "BucketAlreadyOwnedByYou":  # another run was faster
                    raise

    @contextmanager
    def _absence(self, action: str) -> Iterator[None]:
        """As `explained`, but what is absent only ends the block."""
        with explained(self._place, action):
            try:
                yield
            except ClientError as exc:
                if code_of(exc) not in _ABSENT:
                    raise


def _content_type(key: str) -> str:
    return _TYPES.get(Path(key).suffix, "application/octet-stream")
