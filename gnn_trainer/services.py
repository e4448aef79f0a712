"""The services a run may talk to: where each is, and how to be let in."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)

from gnn_trainer.environment import Env

_URL = re.compile(r"https?://[^/@?#\s]+/?", re.ASCII)
_ENDPOINT = re.compile(r"(https?://)?[^/@?#\s]+/?", re.ASCII)
_BROKERS = re.compile(r"[^:/@\s,]+:\d{1,5}(,[^:/@\s,]+:\d{1,5})*", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_COLLECTION = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,255}", re.ASCII)
STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _server_url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("expected scheme://host:port, without path, user or password")
    return value.rstrip("/")


class BinanceSettings(BaseModel):
    """The exchange. Market data is public, so everything is optional."""

    model_config = STRICT

    api_key: Annotated[SecretStr | None, Env("BINANCE_API_KEY")] = Field(
        None, description="Sent when given; market data needs none."
    )
    api_secret: Annotated[SecretStr | None, Env("BINANCE_API_SECRET")] = Field(
        None, description="Goes with BINANCE_API_KEY."
    )
    api_url: Annotated[str | None, Env("BINANCE_API_URL")] = Field(
        None, description="scheme://host:port of another server for spot; Binance's own if absent."
    )
    futures_url: Annotated[str | None, Env("BINANCE_FUTURES_URL")] = Field(
        None, description="The same for USD-M futures."
    )

    _check_urls = field_validator("api_url", "futures_url")(_server_url)

    @model_validator(mode="after")
    def _secret_needs_key(self) -> Self:
        if self.api_secret is not None and self.api_key is None:
            raise ValueError("BINANCE_API_SECRET is set without BINANCE_API_KEY; set both")
        return self


class KafkaSettings(BaseModel):
    """The broker of telemetry and control."""

    model_config = STRICT

    bootstrap_servers: Annotated[str, Env("KAFKA_BOOTSTRAP_SERVERS")] = Field(
        description="host:port, comma separated. Absent: events go to <WORKSPACE>/events.jsonl."
    )
    user: Annotated[
        str | None, Env("KAFKA_USER", ("KAFKA_USER_CONSUMER", "KAFKA_USER_PRODUCER"))
    ] = Field(None, description="User for SASL.")
    password: Annotated[
        SecretStr | None,
        Env("KAFKA_PASSWORD", ("KAFKA_PASSWORD_CONSUMER", "KAFKA_PASSWORD_PRODUCER")),
    ] = Field(None, description="Password for SASL.")
    ca_path: Annotated[FilePath | None, Env("CA_PATH", ("KAFKA_CA_PATH",))] = Field(
        None, description="CA certificate file; turns TLS on."
    )
    sasl_mechanism: Annotated[
        Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"], Env("KAFKA_SASL_MECHANISM")
    ] = Field("SCRAM-SHA-512", description="How the user proves itself.")

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_brokers(cls, value: str) -> str:
        brokers = value.replace(" ", "")
        if not _BROKERS.fullmatch(brokers):
            raise ValueError("expected host:port, several separated by commas")
        return brokers

    @model_validator(mode="after")
    def _user_and_password(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("KAFKA_USER and KAFKA_PASSWORD belong together; set both or neither")
        return self


class ArangoSettings(BaseModel):
    """The database of prepared graphs."""

    model_config = STRICT

    url: Annotated[str, Env("ARANGO_URL")] = Field(
        description="scheme://host:port. Absent: no prepared graph."
    )
    database: Annotated[str, Env("ARANGO_DB")] = Field(description="Database name.")
    user: Annotated[str, Env("ARANGO_USER")] = Field(description="User.")
    password: Annotated[SecretStr, Env("ARANGO_PASSWORD")] = Field(description="Password.")
    collection: Annotated[
        str | None, Env("GRAPH_COLLECTION_NAME", ("GRAPH_COLLECTION", "GRAPH_NAME"))
    ] = Field(
        None,
        description="Collection of the prepared graph, or several, comma separated. Absent: none.",
    )
    wait_s: Annotated[float, Env("GRAPH_WAIT_S")] = Field(
        600.0,
        ge=0.0,
        allow_inf_nan=False,
        description="How long to wait for a prepared graph that is not there yet, in seconds.",
    )
    write_back: Annotated[str | None, Env("GRAPH_OUTPUT_COLLECTION")] = Field(
        None,
        description="Collection for the final market graph, made if absent. Absent: not written.",
    )
    ca_path: Annotated[FilePath | None, Env("ARANGO_CA_PATH")] = Field(
        None,
        description="PEM file of the CA that signed ArangoDB's certificate; SSL_CERT_FILE if "
        "absent.",
    )

    _check_url = field_validator("url")(_server_url)

    @field_validator("collection", "write_back")
    @classmethod
    def _check_collections(cls, value: str | None) -> str | None:
        names = [] if value is None else value.split(",")
        if not all(_COLLECTION.fullmatch(name.strip()) for name in names):
            raise ValueError(
                "expected a collection name: a letter, then letters, digits, '_' and '-'"
            )
        return value

    @model_validator(mode="after")
    def _never_into_the_source(self) -> Self:
        if self.write_back is not None and self.write_back in self.collections:
            raise ValueError(
                "GRAPH_OUTPUT_COLLECTION is also in GRAPH_COLLECTION_NAME; the next run would take "
                "this one's findings for relations: write to another collection"
            )
        return self

    @property
    def collections(self) -> tuple[str, ...]:
        """Collections of the prepared graph; empty if none is used."""
        names = () if self.collection is None else self.collection.split(",")
        return tuple(name.strip() for name in names)


class MinioSettings(BaseModel):
    """The object store of published models."""

    model_config = STRICT

    endpoint: Annotated[str, Env("MINIO_ENDPOINT")] = Field(
        description="host:port, with or without scheme. Absent: models go to <WORKSPACE>/models."
    )
    access_key: Annotated[SecretStr, Env("MINIO_ACCESS_KEY")] = Field(description="Access key.")
    secret_key: Annotated[SecretStr, Env("MINIO_SECRET_KEY")] = Field(description="Secret key.")
    bucket: Annotated[str, Env("MINIO_BUCKET_NAME", ("MINIO_BUCKET",))] = Field(
        description="Bucket for models."
    )
    secure: Annotated[bool | None, Env("MINIO_SECURE")] = Field(
        None, description="TLS; true if the endpoint says https://, else false."
    )
    ca_path: Annotated[FilePath | None, Env("MINIO_CA_PATH")] = Field(
        None,
        description="PEM file of the CA that signed MinIO's certificate; SSL_CERT_FILE if absent.",
    )
    region: Annotated[str, Env("MINIO_REGION")] = Field(
        "us-east-1", pattern=r"^[a-z0-9-]+$", description="Region of the bucket."
    )
    retry_s: Annotated[float, Env("MINIO_RETRY_S")] = Field(
        300.0,
        ge=0.0,
        allow_inf_nan=False,
        description="How long a model is offered to a MinIO that is away, in seconds; then it is "
        "kept in the workspace, and `gnn-trainer publish` finishes it.",
    )

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        if not _ENDPOINT.fullmatch(value):
            raise ValueError("expected host:port, with or without http:// or https://")
        return value.rstrip("/")

    @field_validator("bucket")
    @classmethod
    def _check_bucket(cls, value: str) -> str:
        if not _BUCKET.fullmatch(value):
            raise ValueError("expected 3 to 63 of a-z, 0-9, dot and hyphen, as S3 requires")
        return value

    @model_validator(mode="after")
    def _one_answer_on_tls(self) -> Self:
        scheme, separator, _ = self.endpoint.partition("://")
        if separator and self.secure is not None and self.secure != (scheme == "https"):
            raise ValueError(
                f"MINIO_ENDPOINT says {scheme}:// and MINIO_SECURE says {self.secure}; keep one"
            )
        return self

    @property
    def url(self) -> str:
        """The endpoint with its scheme."""
        if "://" in self.endpoint:
            return self.endpoint
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"


class SimulatedSettings(BaseModel):
    """The market behind MARKET_SOURCE=simulated."""

    model_config = STRICT

    seed: Annotated[int, Env("SIMULATED_SEED")] = Field(
        7, ge=0, description="Seed of the generated market."
    )
    symbols: Annotated[int, Env("SIMULATED_SYMBOLS")] = Field(
        20, ge=4, le=500, description="How many symbols the generated market has."
    )
    strength: Annotated[float | None, Env("SIMULATED_STRENGTH")] = Field(
        None, ge=0.0, lt=1.0, description="Strength of the planted lead-lag graph; 0 is pure noise."
    )
    replay: Annotated[FilePath | None, Env("SIMULATED_REPLAY")] = Field(
        None, description="Parquet file of recorded candles to replay instead of generating."
    )
    now: Annotated[datetime | None, Env("SIMULATED_NOW")] = Field(
        None, description="Time on the simulated exchange, ISO (UTC); its newest bar if absent."
    )

    @field_validator("now")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class WalkForwardSettings(BaseModel):
    """Where the folds of a walk-forward are fitted."""

    model_config = STRICT

    runner: Annotated[
        Literal["threads", "processes", "dask", "ray", "deployments"], Env("WALK_FORWARD_RUNNER")
    ] = Field(
        "threads",
        description="Who fits the folds: threads, in this process one after the other, because "
        "torch has one generator of random numbers; processes of this machine; a dask or ray "
        "cluster; deployments: a flow run of its own for each.",
    )
    workers: Annotated[int | None, Env("WALK_FORWARD_WORKERS")] = Field(
        None,
        ge=1,
        description="Most processes at a time, also of a dask or ray on this machine; one per "
        "core if absent.",
    )
    address: Annotated[str | None, Env("WALK_FORWARD_ADDRESS")] = Field(
        None,
        description="Dask scheduler (tcp://host:8786) or Ray (ray://host:10001, auto) to use; one "
        "is started on this machine if absent.",
    )
    deployment: Annotated[str, Env("WALK_FORWARD_DEPLOYMENT")] = Field(
        "fold/fold", description="Deployment of flows/fold.py:fold, for the runner deployments."
    )


class MetricsSettings(BaseModel):
    """Where the figures of a run go for Prometheus: a Job is too short to be scraped."""

    model_config = STRICT

    textfile: Annotated[Path | None, Env("METRICS_TEXTFILE")] = Field(
        None,
        description="File for the node exporter's textfile collector, replaced at the end of each "
        "run; must end in .prom.",
    )
    pushgateway_url: Annotated[str | None, Env("METRICS_PUSHGATEWAY_URL")] = Field(
        None, description="scheme://host:port of a Prometheus push gateway, told at the end."
    )

    _check_url = field_validator("pushgateway_url")(_server_url)

    @field_validator("textfile")
    @classmethod
    def _check_suffix(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix != ".prom":
            raise ValueError(
                "expected a file name that ends in .prom: the collector reads no other"
            )
        return value
