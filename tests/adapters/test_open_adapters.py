"""What `open_adapters` connects for given settings."""

from pathlib import Path

import pytest

from gnn_trainer.adapters import open_adapters, simulated_name
from gnn_trainer.errors import ConfigError
from gnn_trainer.settings import build_config


def name_of(**environ: str) -> str:
    return simulated_name(*build_config(environ, {}))


def test_the_simulated_market_is_reached_like_the_real_one(tmp_path: Path) -> None:
    environ = {"SIMULATED_SYMBOLS": "4", "WORKSPACE": str(tmp_path)}
    with open_adapters(*build_config(environ, {})) as adapters:
        assert adapters.source.server_time_ms() > 0
        assert sum(listing.is_trading for listing in adapters.source.listings()) >= 4
        assert adapters.source.name == name_of(**environ)
        assert adapters.models.location == str(tmp_path / "models")


def test_models_go_to_the_bucket_where_one_is_configured_and_it_is_not_asked_yet(
    tmp_path: Path,
) -> None:
    environ = {
        "MARKET_SOURCE": "binance",
        "WORKSPACE": str(tmp_path),
        "MINIO_ENDPOINT": "127.0.0.1:9",
        "MINIO_ACCESS_KEY": "k",
        "MINIO_SECRET_KEY": "s",
        "MINIO_BUCKET_NAME": "gnn-models",
    }
    with open_adapters(*build_config(environ, {})) as adapters:
        assert adapters.models.location == "s3://gnn-models"


def test_binance_is_not_asked_before_it_is_needed(tmp_path: Path) -> None:
    environ = {"MARKET_SOURCE": "binance", "WORKSPACE": str(tmp_path), "MARKET": "spot"}
    with open_adapters(*build_config(environ, {})) as adapters:
        assert adapters.source.name == "binance-spot"
        assert adapters.exchange is None


@pytest.mark.parametrize(
    "change",
    [
        {"SIMULATED_SEED": "8"},
        {"SIMULATED_SYMBOLS": "5"},
        {"SIMULATED_STRENGTH": "0"},
        {"INTERVAL": "4h"},
        {"MARKET": "spot"},
    ],
)
def test_another_simulated_market_has_another_name(change: dict[str, str]) -> None:
    assert name_of(**change) != name_of()


def test_the_time_on_the_exchange_does_not_make_another_market() -> None:
    assert name_of(SIMULATED_NOW="2024-05-01") == name_of(SIMULATED_NOW="2024-05-02") == name_of()


def test_a_replayed_file_is_known_by_its_content(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a", "b", "c"))
    first.write_bytes(b"bars")
    copy.write_bytes(b"bars")
    other.write_bytes(b"other bars")
    names = [name_of(SIMULATED_REPLAY=str(path)) for path in (first, copy, other)]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("replay-usdm-")


def test_a_workspace_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environ = {"WORKSPACE": str(tmp_path / "file" / "ws"), "MARKET_SOURCE": "binance"}
    with pytest.raises(ConfigError, match="WORKSPACE"), open_adapters(*build_config(environ, {})):
        pass
