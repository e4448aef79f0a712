"""The flow's way into MinIO: a client from prefect_aws's credentials, made from the settings.

No block is registered, so no key is stored in Prefect's database.
"""

import logging

from prefect_aws import MinIOCredentials
from prefect_aws.client_parameters import AwsClientParameters

from gnn_trainer.adapters.s3_client import S3Client, client_terms
from gnn_trainer.errors import ServiceError
from gnn_trainer.ports import ModelStore
from gnn_trainer.services import MinioSettings

logger = logging.getLogger("gnn_trainer.stores")


def minio_client(minio: MinioSettings) -> S3Client:
    """A client, not connected yet; for `open_adapters(..., s3_client=minio_client)`."""
    return MinIOCredentials(
        minio_root_user=minio.access_key.get_secret_value(),
        minio_root_password=minio.secret_key,
        region_name=minio.region,
        aws_client_parameters=AwsClientParameters(
            endpoint_url=minio.url,
            verify_cert_path=minio.ca_path,
            config=client_terms(),
        ),
    ).get_s3_client()


def prepare_store(store: ModelStore) -> None:
    """Find out before the work whether its result will be let in.

    A server that is away now may be back when the model is ready, so that is only said.

    Raises:
        ConfigError: the credentials are wrong, or do not allow what publishing needs.
    """
    try:
        store.prepare()
    except ServiceError as exc:
        logger.warning("%s; training goes on, the model is offered again when it is ready", exc)
