"""Settings: where things are, who we are, and the secrets. The only file that reads os.environ."""

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, FilePath, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from gnn_trainer.config import TrainConfig, read_config
from gnn_trainer.environment import (
    ConfigProblems,
    Env,
    Problem,
    collect,
    describe_errors,
    env_fields,
    is_secret,
    misspelt,
)
from gnn_trainer.services import (
    STRICT,
    ArangoSettings,
    BinanceSettings,
    KafkaSettings,
    MetricsSettings,
    MinioSettings,
    SimulatedSettings,
    WalkForwardSettings,
)

Model = TypeVar("Model", bound=BaseModel)
GENERATED_QUEUE_ID = "local-"  # and what follows is drawn


class Settings(BaseModel):
    """Who and where. A service that is None is not configured: its stand-in is used."""

    model_config = STRICT

    queue_id: Annotated[str, Env("QUEUE_ID")] = Field(
        default_factory=lambda: f"{GENERATED_QUEUE_ID}{secrets.token_hex(4)}",
        description="Identity of the work in telemetry; generated if absent.",
    )
    symbol: Annotated[str, Env("SYMBOL")] = Field(
        "MARKET_GRAPH", description="Data identifier in telemetry."
    )
    type: Annotated[str, Env("TYPE")] = Field(
        "gnn_model_training", description="Kind of work in telemetry."
    )
    telemetry_producer_id: Annotated[str, Env("TELEMETRY_PRODUCER_ID")] = Field(
        default_factory=lambda: f"gnn-trainer__{secrets.token_hex(3)}",
        description="Identity of this process in telemetry; generated if absent.",
    )
    queue_control_topic: Annotated[str, Env("QUEUE_CONTROL_TOPIC")] = Field(
        "queue-control", description="Kafka topic of commands."
    )
    queue_events_topic: Annotated[str, Env("QUEUE_EVENTS_TOPIC")] = Field(
        "queue-events", description="Kafka topic of telemetry events."
    )
    workspace: Annotated[Path, Env("WORKSPACE")] = Field(
        Path(".gnn-trainer"),
        description="Folder of market history, checkpoints, local models and events.",
    )
    market_source: Annotated[Literal["binance", "simulated"], Env("MARKET_SOURCE")] = Field(
        "simulated",
        description="Where bars come from; binance if a Binance key or URL is set.",
    )
    market: Annotated[Literal["usdm", "spot"], Env("MARKET")] = Field(
        "usdm", description="usdm: perpetuals, with funding rates; spot: no funding."
    )
    relations_file: Annotated[FilePath | None, Env("RELATIONS_FILE")] = Field(
        None, description="Prepared graph as a Parquet, JSON or JSON Lines file, without ArangoDB."
    )
    log_format: Annotated[Literal["text", "json"], Env("LOG_FORMAT")] = Field(
        "text", description="text: log lines for people; json: one JSON object a line."
    )
    binance: BinanceSettings = BinanceSettings()
    metrics: MetricsSettings = MetricsSettings()
    simulated: SimulatedSettings = SimulatedSettings()
    walk_forward: WalkForwardSettings = WalkForwardSettings()
    kafka: KafkaSettings | None = None
    arango: ArangoSettings | None = None
    minio: MinioSettings | None = None

    @property
    def is_queue_id_generated(self) -> bool:
        """Whether nobody gave this run a name of its own."""
        return self.queue_id.startswith(GENERATED_QUEUE_ID)

    @property
    def models_folder(self) -> Path:
        return self.workspace / "models"

    @property
    def unpublished_folder(self) -> Path:
        """Versions that did not reach their store yet."""
        return self.workspace / "unpublished"

    @property
    def upload_patience_s(self) -> float:
        """How long a store that is away is tried again before a version is kept here."""
        return 0.0 if self.minio is None else self.minio.retry_s

    @property
    def relations_patience_s(self) -> float:
        """How long a prepared graph that is not there yet is waited for; a file never is."""
        return 0.0 if self.arango is None or self.relations_file else self.arango.wait_s

    @property
    def market_url(self) -> str | None:
        """Where the market's REST is asked; None is Binance's own address."""
        return self.binance.futures_url if self.market == "usdm" else self.binance.api_url

    def stand_ins(self) -> list[str]:
        """One line per service that is not configured and what is used in its place."""
        lines = []
        if self.market_source == "simulated":
            lines.append(f"market: the {self._simulated_market()} stands in for Binance")
        if self.kafka is None:
            lines.append(f"events: {self.workspace / 'events.jsonl'} stands in for Kafka")
        if self.relations_file is not None:
            lines.append(f"relations: the file {self.relations_file} stands in for ArangoDB")
        elif self.arango is None or self.arango.collection is None:
            lines.append("relations: none (no prepared graph named in GRAPH_COLLECTION_NAME)")
        if self.minio is None:
            lines.append(f"models: the folder {self.models_folder} stands in for MinIO")
        return lines

    def _simulated_market(self) -> str:
        if self.simulated.replay is not None:
            return f"simulated exchange (replay of {self.simulated.replay.name})"
        return f"simulated exchange (generated, seed {self.simulated.seed})"


SECTIONS: dict[str, type[BaseModel]] = {
    "binance": BinanceSettings,
    "simulated": SimulatedSettings,
    "kafka": KafkaSettings,
    "arango": ArangoSettings,
    "minio": MinioSettings,
    "walk_forward": WalkForwardSettings,
    "metrics": MetricsSettings,
}
ALL_SECTIONS: tuple[type[BaseModel], ...] = (TrainConfig, Settings, *SECTIONS.values())
# A service is configured when one of these is set; the others only say how to use it.
_WANTED_BY: dict[str, frozenset[str]] = {
    "kafka": frozenset({"bootstrap_servers", "user", "password"}),
    "arango": frozenset({"url", "database", "user", "password", "collection", "write_back"}),
    "minio": frozenset({"endpoint", "access_key", "secret_key", "bucket"}),
}

_PRIVATE_FIELDS = frozenset(
    {
        "user",
        "url",
        "api_url",
        "futures_url",
        "endpoint",
        "bootstrap_servers",
        "address",
        "pushgateway_url",
    }
)


def environment_help() -> str:
    """Every variable with its aliases and meaning, for `--help`."""
    lines = [f"  {' | '.join(env.names)}\n      {info.description}" for env, info in variables()]
    return "\n".join(["environment variables (a blank one counts as not set):", *lines])


def load_configuration(flags: Mapping[str, str]) -> tuple[Settings, TrainConfig]:
    """`build_config` from this process's environment."""
    return build_config(os.environ, flags)


def process_environment() -> Mapping[str, str]:
    """A copy of this process's variables, for `--check`."""
    return dict(os.environ)


def build_config(
    environ: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[Settings, TrainConfig]:
    """Settings and TrainConfig from variables, and flags by dotted field over them.

    Raises:
        ConfigProblems: with every problem of both, not just the first.
    """
    settings, problems = read_settings(environ)
    config, config_problems = read_config(environ, flags)
    problems = problems + config_problems + misspelt(environ, known_variables())
    if problems or settings is None or config is None:
        raise ConfigProblems(problems)
    return settings, config


def read_settings(environ: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    """Settings from variables, or every problem."""
    sections: dict[str, BaseModel | None] = {}
    problems: list[Problem] = []
    for section, model in SECTIONS.items():
        found, _ = collect(model, environ)
        if section not in _WANTED_BY or _WANTED_BY[section] & set(found):
            sections[section], section_problems = _read(model, environ, _defaults(section, environ))
            problems += section_problems
    source = {"market_source": default_market_source(environ)}
    settings, own_problems = _read(Settings, environ, source)
    problems = own_problems + problems
    if settings is None or problems:
        return None, problems
    settings = settings.model_copy(update=sections)
    if settings.relations_file and settings.arango and settings.arango.collection:
        return None, [
            Problem(
                "RELATIONS_FILE and GRAPH_COLLECTION_NAME",
                "",
                "both name a prepared graph and only one can be used; unset one of them",
            )
        ]
    return settings, []


def read_telemetry_settings(environ: Mapping[str, str]) -> Settings | None:
    """Identity, topics and Kafka alone, to tell of a configuration whose other parts are bad.

    None if these are bad too.
    """
    wanted = {
        name
        for model in (Settings, KafkaSettings)
        for field, env in env_fields(model).items()
        if field not in ("market", "market_source", "relations_file", "log_format")
        for name in env.names
    }
    settings, _ = read_settings({name: environ[name] for name in wanted & set(environ)})
    return settings


def read_minio(environ: Mapping[str, str], bucket: str) -> MinioSettings:
    """How to get into a bucket, wherever the other settings lead.

    Raises:
        ConfigProblems: the variables of MinIO do not say it.
    """
    minio, problems = _read(
        MinioSettings, environ, {"bucket": bucket, **_defaults("minio", environ)}
    )
    if minio is None or problems:
        raise ConfigProblems(problems)
    return minio.model_copy(update={"bucket": bucket})


def _defaults(section: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What a section takes from variables that are not its own."""
    trusted = environ.get("SSL_CERT_FILE", "").strip()
    return {"ca_path": trusted} if section in ("minio", "arango") and trusted else {}


def default_market_source(environ: Mapping[str, str]) -> str:
    """Whoever gives a Binance key or address wants Binance."""
    found, _ = collect(BinanceSettings, environ)
    return "binance" if found else "simulated"


def variables() -> Iterator[tuple[Env, FieldInfo]]:
    """Every variable with the field it feeds."""
    for model in ALL_SECTIONS:
        for field, env in env_fields(model).items():
            yield env, model.model_fields[field]


def known_variables() -> set[str]:
    """Every name that means something to this program."""
    return {name for env, _ in variables() for name in env.names}


def private_texts(settings: Settings) -> tuple[str, ...]:
    """What may appear in no event: secrets, user names and addresses of the services."""
    texts: set[str] = set()
    for section in SECTIONS:
        service = getattr(settings, section)
        for field, value in service or ():
            if isinstance(value, SecretStr):
                texts.add(value.get_secret_value())
            elif field in _PRIVATE_FIELDS and value is not None:
                texts |= {value, *value.split(",")}
    return tuple(sorted(texts))


def secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """What must stand in no log, whether or not the configuration is any good."""
    given = (
        environ.get(name, "") for env, info in variables() if is_secret(info) for name in env.names
    )
    return tuple(sorted({value.strip() for value in given} - {""}))


def wants_json_logs(environ: Mapping[str, str]) -> bool:
    """LOG_FORMAT=json, known before the rest of the configuration is."""
    return environ.get("LOG_FORMAT", "").strip() == "json"


def _read(
    model: type[Model], environ: Mapping[str, str], defaults: Mapping[str, str]
) -> tuple[Model | None, list[Problem]]:
    found, problems = collect(model, environ)
    shown = {field: env.name for field, env in env_fields(model).items()}
    shown |= {field: item.name for field, item in found.items()}
    values = {**defaults, **{field: item.value for field, item in found.items()}}
    try:
        return model.model_validate(values), problems
    except ValidationError as exc:
        return None, problems + describe_errors(exc, model, shown)
