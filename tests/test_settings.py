"""Settings: names, aliases, defaults, stand-ins, and every problem told at once without secrets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.environment import HIDDEN, ConfigProblems, misspelt
from gnn_trainer.settings import (
    Settings,
    build_config,
    environment_help,
    known_variables,
    private_texts,
    read_minio,
    read_settings,
)

KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "b1:9093, b2:9093"}
MINIO = {
    "MINIO_ENDPOINT": "minio:9000",
    "MINIO_ACCESS_KEY": "the-key",
    "MINIO_SECRET_KEY": "the-secret",
    "MINIO_BUCKET_NAME": "gnn-models",
}
ARANGO = {
    "ARANGO_URL": "http://arango:8529/",
    "ARANGO_DB": "streamforge",
    "ARANGO_USER": "root",
    "ARANGO_PASSWORD": "the-password",
}
TABLE_OF_THE_BRIEF = """
    QUEUE_ID SYMBOL TYPE TELEMETRY_PRODUCER_ID BINANCE_API_KEY BINANCE_API_SECRET
    KAFKA_BOOTSTRAP_SERVERS KAFKA_USER KAFKA_PASSWORD CA_PATH QUEUE_CONTROL_TOPIC
    QUEUE_EVENTS_TOPIC ARANGO_URL ARANGO_DB ARANGO_USER ARANGO_PASSWORD GRAPH_COLLECTION_NAME
    MINIO_ENDPOINT MINIO_ACCESS_KEY MINIO_SECRET_KEY MINIO_BUCKET_NAME MODEL_NAME EPOCHS
    LEARNING_RATE"""


OTHERS = """
    PATH HOME TERM SHELL LANG HOSTNAME USER PWD SHLVL LOGNAME TZ EDITOR PAGER MAIL TERM_PROGRAM
    KAFKA_TOPIC COLLECTION_NAME COLLECTION_INPUTS COLLECTION_OUTPUT GRAPH_COLLECTIONS_DB
    KAFKA_PORT MINIO_PORT MINIO_SERVICE_HOST MINIO_SERVICE_PORT MINIO_PORT_9000_TCP
    MINIO_ROOT_USER MINIO_ACCESS_KEY_FILE ARANGO_PORT ARANGO_SERVICE_HOST ARANGO_ROOT_PASSWORD
    WORKSPACE_TMP GITHUB_WORKSPACE EPOCHREALTIME SEEDS_URL TYPE_CHECKING MODEL_PATH
    PREFECT_API_URL AWS_SECRET_ACCESS_KEY KUBERNETES_SERVICE_HOST MARKET_SOURCE_DIR
    SYSTEMD_EXEC_PID"""


def settings_of(environ: dict[str, str]) -> Settings:
    settings, problems = read_settings(environ)
    assert settings is not None, problems
    return settings


def problems_of(environ: dict[str, str], flags: dict[str, str] | None = None) -> dict[str, str]:
    """Problem texts by the setting they name."""
    with pytest.raises(ConfigProblems) as caught:
        build_config(environ, flags or {})
    return {row.name: f"{row.value} {row.expected}" for row in caught.value.rows}


def test_an_empty_environment_is_enough() -> None:
    settings, config = build_config({}, {})
    assert settings.market_source == "simulated"
    assert settings.workspace == Path(".gnn-trainer")
    assert (settings.kafka, settings.arango, settings.minio) == (None, None, None)
    assert config.model_name == "market_gnn_v1"


def test_every_variable_of_the_brief_is_known_and_in_the_help() -> None:
    assert set(TABLE_OF_THE_BRIEF.split()) <= known_variables()
    assert all(name in environment_help() for name in known_variables())


def test_generated_identities_differ_and_have_their_form() -> None:
    first, second = settings_of({}), settings_of({})
    assert first.queue_id.startswith("local-")
    assert first.telemetry_producer_id.startswith("gnn-trainer__")
    assert len(first.telemetry_producer_id) == len("gnn-trainer__a1b2c3")
    assert first.queue_id != second.queue_id


@pytest.mark.parametrize(
    ("environ", "section", "field", "expected"),
    [
        (KAFKA | {"CA_PATH": __file__}, "kafka", "ca_path", Path(__file__)),
        (KAFKA | {"KAFKA_CA_PATH": __file__}, "kafka", "ca_path", Path(__file__)),
        (KAFKA, "kafka", "bootstrap_servers", "b1:9093,b2:9093"),
        (ARANGO | {"GRAPH_COLLECTION_NAME": "g"}, "arango", "collection", "g"),
        (ARANGO | {"GRAPH_COLLECTION": "g"}, "arango", "collection", "g"),
        (ARANGO | {"GRAPH_NAME": "g"}, "arango", "collection", "g"),
        (ARANGO, "arango", "url", "http://arango:8529"),
        (MINIO, "minio", "bucket", "gnn-models"),
    ],
)
def test_each_alias_feeds_its_field(
    environ: dict[str, str],
    section: str,
    field: str,
    expected: object,
) -> None:
    assert getattr(getattr(settings_of(environ), section), field) == expected


@pytest.mark.parametrize("role", ["", "_CONSUMER", "_PRODUCER"])
def test_kafka_credentials_have_three_names(role: str) -> None:
    given = {f"KAFKA_USER{role}": "u", f"KAFKA_PASSWORD{role}": "p"}
    kafka = settings_of(KAFKA | given).kafka
    assert kafka is not None
    assert kafka.user == "u"
    assert kafka.password is not None
    assert kafka.password.get_secret_value() == "p"


def test_the_old_bucket_name_works() -> None:
    minio = settings_of(MINIO | {"MINIO_BUCKET_NAME": "", "MINIO_BUCKET": "older"}).minio
    assert minio is not None
    assert minio.bucket == "older"


def test_minio_trusts_the_ca_that_is_named_for_it_or_for_everything(tmp_path: Path) -> None:
    own, general = tmp_path / "own.pem", tmp_path / "general.pem"
    for path in (own, general):
        path.write_text("")
    cases: list[tuple[dict[str, str], Path | None]] = [
        ({}, None),
        ({"SSL_CERT_FILE": str(general)}, general),
        ({"SSL_CERT_FILE": str(general), "MINIO_CA_PATH": str(own)}, own),
    ]
    for given_, trusted in cases:
        minio = settings_of(MINIO | given_).minio
        assert minio is not None
        assert minio.ca_path == trusted
    assert "no such file" in problems_of(MINIO | {"MINIO_CA_PATH": "gone.pem"})["MINIO_CA_PATH"]


def test_a_bucket_can_be_read_without_being_the_one_for_models() -> None:
    way_in = {name: value for name, value in MINIO.items() if name != "MINIO_BUCKET_NAME"}
    assert read_minio(way_in, "theirs").bucket == "theirs"
    assert read_minio(MINIO, "theirs").bucket == "theirs"
    with pytest.raises(ConfigProblems, match="MINIO_SECRET_KEY"):
        read_minio({"MINIO_ENDPOINT": "minio:9000", "MINIO_ACCESS_KEY": "k"}, "theirs")


def test_a_model_is_offered_to_a_minio_that_is_away_for_a_configurable_time() -> None:
    assert settings_of(MINIO).upload_patience_s == 300.0
    assert settings_of(MINIO | {"MINIO_RETRY_S": "7.5"}).upload_patience_s == 7.5
    assert settings_of({}).upload_patience_s == 0.0
    assert "0 or more" in problems_of(MINIO | {"MINIO_RETRY_S": "-1"})["MINIO_RETRY_S"]


@pytest.mark.parametrize(
    ("endpoint", "secure", "url"),
    [
        ("minio:9000", "", "http://minio:9000"),
        ("minio:9000", "true", "https://minio:9000"),
        ("https://minio:9000/", "", "https://minio:9000"),
        ("http://minio:9000", "false", "http://minio:9000"),
    ],
)
def test_minio_speaks_tls_when_the_endpoint_or_the_switch_says_so(
    endpoint: str,
    secure: str,
    url: str,
) -> None:
    minio = settings_of(MINIO | {"MINIO_ENDPOINT": endpoint, "MINIO_SECURE": secure}).minio
    assert minio is not None
    assert minio.url == url


def test_an_endpoint_and_a_switch_that_disagree_on_tls_are_a_problem() -> None:
    environ = MINIO | {"MINIO_ENDPOINT": "https://minio", "MINIO_SECURE": "false"}
    assert "keep one" in problems_of(environ)["Minio"]


@pytest.mark.parametrize("name", ["BINANCE_API_KEY", "BINANCE_API_URL", "BINANCE_FUTURES_URL"])
def test_a_binance_key_or_address_chooses_binance(name: str) -> None:
    assert settings_of({name: "http://localhost:1"}).market_source == "binance"
    assert settings_of({name: "http://h:1", "MARKET_SOURCE": "simulated"}).market_source == (
        "simulated"
    )


def test_each_market_has_its_own_address() -> None:
    environ = {"BINANCE_API_URL": "http://spot:1/", "BINANCE_FUTURES_URL": "http://usdm:2"}
    assert settings_of(environ).market_url == "http://usdm:2"
    assert settings_of(environ | {"MARKET": "spot"}).market_url == "http://spot:1"
    assert settings_of({"MARKET_SOURCE": "binance"}).market_url is None


def test_a_time_without_zone_is_utc() -> None:
    now = settings_of({"SIMULATED_NOW": "2024-05-01T12:00"}).simulated.now
    assert now is not None
    assert now.isoformat() == "2024-05-01T12:00:00+00:00"


def test_a_blank_variable_counts_as_not_set() -> None:
    assert settings_of({"MINIO_ENDPOINT": " ", "MARKET": ""}).market == "usdm"


def test_each_service_that_is_not_configured_has_a_line_on_its_stand_in() -> None:
    lines = " ".join(settings_of({}).stand_ins())
    for word in ("simulated exchange", "events.jsonl", "GRAPH_COLLECTION_NAME", "models"):
        assert word in lines


def test_a_file_of_relations_stands_in_for_arangodb_but_not_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text("[]")
    settings = settings_of({"RELATIONS_FILE": str(path)})
    assert any("graph.json" in line for line in settings.stand_ins())
    assert settings.relations_patience_s == 0.0
    both = ARANGO | {"GRAPH_NAME": "g", "RELATIONS_FILE": str(path)}
    assert "unset one" in problems_of(both)["RELATIONS_FILE and GRAPH_COLLECTION_NAME"]
    settings_of(ARANGO | {"RELATIONS_FILE": str(path), "GRAPH_OUTPUT_COLLECTION": "drawn"})


def test_a_prepared_graph_may_lie_in_several_collections_and_is_waited_for() -> None:
    settings = settings_of(ARANGO | {"GRAPH_NAME": "pairs, links", "GRAPH_WAIT_S": "7"})
    assert settings.arango is not None
    assert settings.arango.collections == ("pairs", "links")
    assert settings.relations_patience_s == 7.0
    assert settings_of(ARANGO | {"GRAPH_NAME": "g"}).relations_patience_s == 600.0


@pytest.mark.parametrize(
    ("environ", "named", "expected"),
    [
        ({"GRAPH_NAME": "no such/name"}, "GRAPH_NAME", "collection name"),
        ({"GRAPH_WAIT_S": "-1"}, "GRAPH_WAIT_S", "0 or more"),
        ({"GRAPH_NAME": "g", "GRAPH_OUTPUT_COLLECTION": "g"}, "Arango", "another collection"),
        ({"ARANGO_CA_PATH": "gone.pem"}, "ARANGO_CA_PATH", "no such file"),
    ],
)
def test_what_cannot_work_with_a_prepared_graph_is_a_problem(
    environ: dict[str, str], named: str, expected: str
) -> None:
    assert expected in problems_of(ARANGO | environ)[named]


def test_a_configured_service_has_no_stand_in() -> None:
    graph = {"GRAPH_COLLECTION_NAME": "g"}
    environ = KAFKA | MINIO | ARANGO | graph | {"MARKET_SOURCE": "binance"}
    assert settings_of(environ).stand_ins() == []


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({"MINIO_ENDPOINT": "m:9"}, {"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_BUCKET_NAME"}),
        ({"MINIO_BUCKET": "models"}, {"MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"}),
        ({"ARANGO_URL": "http://a:1"}, {"ARANGO_DB", "ARANGO_USER", "ARANGO_PASSWORD"}),
        ({"GRAPH_COLLECTION": "g"}, {"ARANGO_URL", "ARANGO_DB", "ARANGO_USER", "ARANGO_PASSWORD"}),
        ({"KAFKA_USER": "u", "KAFKA_PASSWORD": "p"}, {"KAFKA_BOOTSTRAP_SERVERS"}),
    ],
)
def test_a_half_configured_service_lists_what_is_missing(
    environ: dict[str, str],
    missing: set[str],
) -> None:
    problems = problems_of(environ)
    assert set(problems) == missing
    assert all("missing" in text for text in problems.values())


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        (KAFKA | {"KAFKA_USER": "u"}, "Kafka"),
        ({"BINANCE_API_SECRET": "s"}, "Binance"),
        (KAFKA | {"CA_PATH": "/nowhere/ca.crt"}, "CA_PATH"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "broker"}, "KAFKA_BOOTSTRAP_SERVERS"),
        (KAFKA | {"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
        ({"BINANCE_FUTURES_URL": "fapi.binance.com"}, "BINANCE_FUTURES_URL"),
        ({"BINANCE_API_URL": "https://api.binance.com/api/v3"}, "BINANCE_API_URL"),
        ({"MARKET": "coinm"}, "MARKET"),
        ({"MARKET_SOURCE": "kraken"}, "MARKET_SOURCE"),
        (MINIO | {"MINIO_BUCKET_NAME": "No_Bucket"}, "MINIO_BUCKET_NAME"),
        (MINIO | {"MINIO_SECURE": "maybe"}, "MINIO_SECURE"),
        ({"SIMULATED_REPLAY": "/nowhere.parquet"}, "SIMULATED_REPLAY"),
        ({"SIMULATED_NOW": "yesterday"}, "SIMULATED_NOW"),
        ({"SIMULATED_SYMBOLS": "1"}, "SIMULATED_SYMBOLS"),
        ({"SIMULATED_STRENGTH": "nan"}, "SIMULATED_STRENGTH"),
    ],
)
def test_a_value_that_cannot_work_is_named_by_its_variable(
    environ: dict[str, str],
    named: str,
) -> None:
    assert set(problems_of(environ)) == {named}


def test_an_alias_is_blamed_under_the_name_that_was_used() -> None:
    assert "KAFKA_CA_PATH" in problems_of(KAFKA | {"KAFKA_CA_PATH": "/nowhere"})


def test_two_names_of_one_thing_may_agree_but_not_differ() -> None:
    both = {"MODEL_NAME": "a", "MODEL_OUTPUT": "a"}
    assert build_config(both, {})[1].model_name == "a"
    problems = problems_of(both | {"MODEL_OUTPUT": "b"})
    assert "keep only MODEL_NAME" in problems["MODEL_NAME and MODEL_OUTPUT"]


def test_all_problems_of_everything_are_told_at_once() -> None:
    environ = {"MARKET": "x", "EPOCH": "5", "INTERVAL": "7m", "MINIO_ENDPONT": "m", "HORIZON": "0"}
    names = set(problems_of(environ, {"epochs": "none", "graph.neighbours": "0"}))
    expected = {"MARKET", "EPOCH", "INTERVAL", "MINIO_ENDPONT", "HORIZON"}
    assert names == expected | {"--epochs", "--graph.neighbours"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EPOCH", "EPOCHS"),
        ("MINIO_ENDPONT", "MINIO_ENDPOINT"),
        ("MINIO_ACESS_KEY", "MINIO_ACCESS_KEY"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("LEARNINGRATE", "LEARNING_RATE"),
        ("SYMBOLES", "SYMBOLS"),
        ("QUEUE_EVENT_TOPIC", "QUEUE_EVENTS_TOPIC"),
    ],
)
def test_a_misspelt_variable_is_pointed_out_with_what_was_meant(name: str, meant: str) -> None:
    assert f"did you mean {meant}?" in problems_of({name: "1"})[name]


@pytest.mark.parametrize("name", OTHERS.split())
def test_variables_of_others_are_left_alone(name: str) -> None:
    assert misspelt({name: "x"}, known_variables()) == []


SECRETS = (
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
    "KAFKA_PASSWORD",
    "ARANGO_PASSWORD",
    "MINIO_ACCESS_KEY",
    "MINIO_SECRET_KEY",
)


def test_no_secret_shows_in_a_representation() -> None:
    environ = KAFKA | MINIO | ARANGO | {"KAFKA_USER": "u"} | dict.fromkeys(SECRETS, "hush-hush")
    settings = settings_of(environ)
    assert "hush-hush" not in repr(settings) + str(settings) + settings.model_dump_json()


@given(broken=st.sets(st.sampled_from(sorted(known_variables()))))
def test_no_secret_shows_in_an_error_whatever_else_is_wrong(broken: set[str]) -> None:
    environ = dict.fromkeys(SECRETS, "hush-hush") | {"KAFKA_PASSWORD_CONSUMER": "hush-hush too"}
    environ |= dict.fromkeys(broken - set(SECRETS), "\x00 broken")
    with pytest.raises(ConfigProblems) as caught:
        build_config(environ, {})
    assert "hush-hush" not in str(caught.value) + repr(caught.value.rows)


def test_a_password_inside_an_address_is_hidden_and_refused() -> None:
    problem = problems_of(ARANGO | {"ARANGO_URL": "http://root:hush@arango:8529"})["ARANGO_URL"]
    assert "hush" not in problem
    assert HIDDEN in problem


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings_of({}).market = "spot"


PRIVATE_AND_NOT = {
    "KAFKA_BOOTSTRAP_SERVERS": "b1:9092,b2:9092",
    "KAFKA_USER": "kafka-user",
    "KAFKA_PASSWORD": "kafka-password",
    "MINIO_ENDPOINT": "minio:9000",
    "MINIO_ACCESS_KEY": "minio-access",
    "MINIO_SECRET_KEY": "minio-secret",
    "MINIO_BUCKET_NAME": "models",
    "ARANGO_URL": "http://arango:8529",
    "ARANGO_DB": "graphs",
    "ARANGO_USER": "arango-user",
    "ARANGO_PASSWORD": "arango-password",
    "BINANCE_API_KEY": "binance-key",
    "BINANCE_API_SECRET": "binance-secret",
    "BINANCE_FUTURES_URL": "http://exchange:80",
}


def test_everything_private_is_kept_out_of_events() -> None:
    kept = private_texts(settings_of(PRIVATE_AND_NOT))
    public = {"models", "graphs"}
    for value in PRIVATE_AND_NOT.values():
        assert (value in kept) == (value not in public)
    assert "b2:9092" in kept
