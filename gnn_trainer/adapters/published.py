"""The files behind any model URI: a folder, file://, or s3://<bucket>/<model name>/<version>."""

from gnn_trainer.artifact.location import PublishedFiles, files_at, files_in
from gnn_trainer.errors import ArtifactError, ConfigError
from gnn_trainer.services import MinioSettings
from gnn_trainer.settings import process_environment, read_minio

_S3 = "s3://"


def published_at(uri: str, minio: MinioSettings | None = None) -> PublishedFiles:
    """The files of a version; `<version>` may be `latest` or `champion`.

    `minio` says how to get into the bucket that the URI names; None takes this process's
    MINIO_* variables.

    Raises:
        ArtifactError: no such version.
        ConfigError: nothing says how to get into the bucket, or the server refuses us.
        TransientServiceError: the server is away.
    """
    if not uri.startswith(_S3):
        return files_at(uri)
    parts = uri.removeprefix(_S3).rstrip("/").split("/")
    if len(parts) != 3 or not all(parts):
        raise ArtifactError(
            f"cannot load from {uri}; expected s3://<bucket>/<model name>/<version>, or "
            "latest or champion in place of the version"
        )
    # Imported on use: models in folders need no boto3.
    from gnn_trainer.adapters.s3 import S3Store

    bucket, model_name, version = parts
    return files_in(S3Store(_way_into(bucket, minio)), model_name, version)


def _way_into(bucket: str, minio: MinioSettings | None) -> MinioSettings:
    if minio is not None:
        return minio.model_copy(update={"bucket": bucket})
    environ = process_environment()
    if not environ.get("MINIO_ENDPOINT", "").strip():
        raise ConfigError(
            f"{_S3}{bucket} needs MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY; set them"
        )
    return read_minio(environ, bucket)
