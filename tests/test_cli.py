"""`gnn-trainer import-archive`, and how the command line answers mistakes."""

import hashlib
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from gnn_trainer.cli import BAD_CONFIGURATION, FAILED, SUCCESS, run
from gnn_trainer.market.history import History

DAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY_MS = int(DAY.timestamp() * 1000)
HOUR_MS = 3_600_000


def command(environ: dict[str, str], *argv: str) -> tuple[int, str]:
    printed = io.StringIO()
    out = Console(file=printed, width=160)
    code = run(argv, environ, out, out, clock=lambda: DAY.timestamp() + 40 * 86_400)
    return code, printed.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """One month of hourly candles, as Binance packs them; only its first day has rows."""
    folder = tmp_path / "archive" / "data/futures/um/monthly/klines/BTCUSDT/1h"
    folder.mkdir(parents=True)
    opens = [DAY_MS + hour * HOUR_MS for hour in range(24)]
    rows = [f"{t},1,2,1,2,10,{t + HOUR_MS - 1},20,5,6,12,0" for t in opens]
    packed = folder / "BTCUSDT-1h-2024-01.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("BTCUSDT-1h-2024-01.csv", "\n".join(rows))
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    packed.with_name(f"{packed.name}.CHECKSUM").write_text(f"{digest}  {packed.name}\n")
    return tmp_path / "archive"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"WORKSPACE": str(tmp_path / "ws"), "SYMBOLS": "BTCUSDT"}


def test_archive_files_fill_the_history(
    archive: Path,
    environ: dict[str, str],
    tmp_path: Path,
) -> None:
    code, printed = command(
        environ, "import-archive", str(archive), "--time-range", "2024-01-01:2024-01-31"
    )
    assert code == SUCCESS, printed
    assert "1 files, 24 rows" in printed
    history = History(tmp_path / "ws" / "history")
    stored = history.read_klines("binance-usdm", "1h", "BTCUSDT", DAY_MS, DAY_MS + 24 * HOUR_MS)
    assert stored.height == 24


def test_an_archive_that_is_not_there_is_an_error(environ: dict[str, str]) -> None:
    code, printed = command(environ, "import-archive", "/nowhere")
    assert code == BAD_CONFIGURATION
    assert "/nowhere" in printed


def test_an_archive_without_the_symbol_is_an_error(archive: Path, environ: dict[str, str]) -> None:
    code, printed = command(
        environ,
        *("import-archive", str(archive), "--symbols", "NONEUSDT"),
        *("--time-range", "2024-01-01:2024-01-31"),
    )
    assert code == FAILED
    assert "NONEUSDT" in printed


def test_the_largest_symbols_cannot_be_told_from_an_archive(environ: dict[str, str]) -> None:
    code, printed = command(environ, "import-archive", "/nowhere", "--symbols", "top:5")
    assert code == BAD_CONFIGURATION
    assert "--symbols BTCUSDT,ETHUSDT" in printed


def test_a_bad_flag_value_is_named_in_the_table(environ: dict[str, str]) -> None:
    code, printed = command(environ, "import-archive", "/nowhere", "--interval", "7m")
    assert code == BAD_CONFIGURATION
    assert "--interval" in printed


@pytest.mark.parametrize("argv", [(), ("fly",), ("predict", "--modle", "x"), ("import-archive",)])
def test_a_command_line_that_makes_no_sense_exits_with_2(
    argv: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        command({}, *argv)
    assert caught.value.code == BAD_CONFIGURATION
    assert "usage: gnn-trainer" in capsys.readouterr().err


def test_the_help_lists_commands_and_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command({}, "--help")
    printed = capsys.readouterr().out
    assert caught.value.code == SUCCESS
    assert "import-archive" in printed
    assert "KAFKA_USER | KAFKA_USER_CONSUMER | KAFKA_USER_PRODUCER" in printed
