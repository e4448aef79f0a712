"""A file is replaced whole or not at all, and a refusing disk is explained."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gnn_trainer.errors import ConfigError, ServiceError
from gnn_trainer.market.durable import write_whole, writing_in
from gnn_trainer.market.history import History
from tests.market.market_tables import candles

NOBODY = 65534


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may write everywhere; be somebody else for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "2025-01.parquet"
    path.write_bytes(b"old")
    temporary = tmp_path / f".{path.name}.{os.getpid()}.tmp"
    temporary.symlink_to("/dev/full")  # what is written there meets a full disk
    with pytest.raises(ServiceError, match=r"disk full at .*2025-01\.parquet.*free space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert not temporary.is_symlink()


def test_a_workspace_that_cannot_be_a_folder_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    history = History(tmp_path / "file" / "history")
    with pytest.raises(ConfigError, match="set WORKSPACE"):
        history.upsert_klines("binance-usdm", "1h", "BTCUSDT", candles())


def test_a_read_only_workspace_is_a_configuration_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        as_ordinary_user(),
        pytest.raises(ConfigError, match=r"WORKSPACE cannot be used .*Permission denied"),
    ):
        History(tmp_path / "h").upsert_klines("binance-usdm", "1h", "BTCUSDT", candles())


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing_in(tmp_path):
        _ = 1 / 0
    with writing_in(tmp_path):
        write_whole(tmp_path / "file", b"written")
    assert (tmp_path / "file").read_bytes() == b"written"
