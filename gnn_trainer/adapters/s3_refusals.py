"""What an S3 server's refusals and silences mean, in this package's errors.

MinIO's own codes are listed in its `cmd/api-errors.go`, the others in the S3 API's "Error
responses". Messages name the endpoint and the bucket, and never a key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from gnn_trainer.errors import ConfigError, GnnTrainerError, ServiceError, TransientServiceError

_BAD_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "InvalidTokenId",
    "InvalidSecurity",
}
_FORBIDDEN = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403"}
_BAD_BUCKET = {"InvalidBucketName", "BucketAlreadyExists", "MethodNotAllowed"}
_PASSING = {
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "RequestTimeout",
    "OperationAborted",
    "ConditionalRequestConflict",
    "TooManyRequests",
    "IncompleteBody",
}
_SILENCES = (
    BotoConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)


@dataclass(frozen=True)
class Place:
    """Where a store is, for messages."""

    url: str
    bucket: str

    def __str__(self) -> str:
        return f"MinIO at {self.url}, bucket {self.bucket!r}"


def code_of(error: ClientError) -> str:
    """The server's word for what is wrong; of an answer without body, its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def explained(place: Place, action: str) -> Iterator[None]:
    """Turn boto's errors into ours; `action` completes "cannot ..."."""
    try:
        yield
    except ClientError as exc:
        raise _refusal(place, action, exc) from exc
    except SSLError as exc:
        raise _tls_failure(place, exc) from exc
    except _SILENCES as exc:
        raise TransientServiceError(
            f"{place} does not answer ({type(exc).__name__}): cannot {action}"
        ) from exc
    except ResponseParserError as exc:
        raise _no_s3(place, action) from exc
    except BotoCoreError as exc:
        raise ServiceError(f"{place}: cannot {action} ({type(exc).__name__})") from exc


def _refusal(place: Place, action: str, error: ClientError) -> GnnTrainerError:
    code, status = code_of(error), status_of(error)
    said = f"{place}: cannot {action} ({code}, HTTP {status})"
    if code in _BAD_CREDENTIALS:
        return ConfigError(
            f"{said}: the server refuses the credentials; correct MINIO_ACCESS_KEY and "
            "MINIO_SECRET_KEY"
        )
    if code == "AuthorizationHeaderMalformed":
        return ConfigError(f"{said}: another region is expected; set MINIO_REGION to the server's")
    if code in _FORBIDDEN:
        return ConfigError(
            f"{said}: this access key may not; grant it s3:ListBucket, s3:GetObject, s3:PutObject "
            "and s3:DeleteObject there, or name another bucket in MINIO_BUCKET_NAME"
        )
    if code in _BAD_BUCKET:
        return ConfigError(f"{said}: the bucket cannot be used; name another, MINIO_BUCKET_NAME")
    if code == "NoSuchBucket":
        return ConfigError(f"{said}: there is no such bucket; correct MINIO_BUCKET_NAME")
    if code == "RequestTimeTooSkewed":
        return ServiceError(f"{said}: this machine's clock differs from the server's; set it")
    if status >= 500 or status == 429 or code in _PASSING:
        return TransientServiceError(said)
    if code.isdigit():  # S3 says why, in words
        return _no_s3(place, action)
    if status == 400 and place.url.startswith("http://"):
        return ServiceError(f"{said}; if the server speaks TLS, set MINIO_SECURE=true")
    return ServiceError(said)


def _tls_failure(place: Place, error: SSLError) -> GnnTrainerError:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ConfigError(
            f"{place}: its certificate is not trusted; put the CA that signed it, for the name in "
            "MINIO_ENDPOINT, into a PEM file and set MINIO_CA_PATH to it"
        )
    if any(sign in text for sign in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")):
        return ConfigError(
            f"{place} does not speak TLS; use http:// in MINIO_ENDPOINT or MINIO_SECURE=false"
        )
    return TransientServiceError(f"{place}: the TLS connection broke")


def _no_s3(place: Place, action: str) -> GnnTrainerError:
    return ServiceError(
        f"{place}: cannot {action}, the answer is not S3's; MINIO_ENDPOINT must name the S3 port "
        "(MinIO's is 9000), not the console or a proxy's page"
    )
