"""Archive files end up in the history as if the exchange had sent them, or are refused by name."""

import io
import zipfile
from pathlib import Path

import polars as pl
import pytest

from gnn_trainer.adapters.archive import ArchiveReport, import_archive
from gnn_trainer.adapters.archive_csv import parse_funding, parse_klines
from gnn_trainer.adapters.archive_files import WAITS_S
from gnn_trainer.errors import ConfigError, DataError, TransientServiceError
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.history import History
from gnn_trainer.ports import Progress
from tests.adapters.archive_mirror import (
    kline_csv,
    put,
    put_klines,
    serve,
    zipped,
)
from tests.market.market_tables import HOUR, JANUARY, candles

UM, SPOT = "data/futures/um", "data/spot"
DAY = 24 * HOUR
FEBRUARY, MARCH = JANUARY + 31 * DAY, JANUARY + 59 * DAY
BARS = candles(start=JANUARY, count=59 * 24)  # January and February
MONTHS = {"2025-01": BARS[: 31 * 24], "2025-02": BARS[31 * 24 :]}


# In a zip of one file `a.csv`: from its end back to the checksum in the list of files.
CHECKSUM_PLACE = -22 - len("a.csv") - 46 + 16


def with_byte_changed(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 0xFF
    return bytes(changed)


class Importer:
    """Imports BTCUSDT 1h of January and February unless told otherwise."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.progress: list[Progress] = []
        self.waited: list[float] = []

    def __call__(
        self,
        location: str | Path,
        source: str = "binance-usdm",
        symbols: tuple[str, ...] = ("BTCUSDT",),
        span: tuple[int, int] = (JANUARY, MARCH),
    ) -> ArchiveReport:
        return import_archive(
            self.history,
            source,
            str(location),
            symbols,
            "1h",
            *span,
            self.progress.append,
            wait=self.waited.append,
        )

    def stored(self, source: str = "binance-usdm", symbol: str = "BTCUSDT") -> pl.DataFrame:
        return self.history.read_klines(source, "1h", symbol, 0, 2 * JANUARY)


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(History(tmp_path / "history"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.mkdir()
    return path


def publish_months(folder: Path, symbol: str = "BTCUSDT") -> None:
    for date, table in MONTHS.items():
        put_klines(folder, UM, symbol, date, kline_csv(table))


@pytest.mark.parametrize("header", [False, True], ids=["no header", "header"])
@pytest.mark.parametrize("per_ms", [1, 1000], ids=["milliseconds", "microseconds"])
def test_every_kind_of_kline_file_gives_the_same_candles(header: bool, per_ms: int) -> None:
    table = candles(count=30)
    csv = kline_csv(table, header=header, per_ms=per_ms)
    assert parse_klines("a.zip", zipped(csv, "a.csv")).equals(table)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("extra", [b"", b"\x55\x54\x05\x00\x01\x00\x00\x00\x00"])
def test_every_kind_of_zip_gives_what_zipfile_reads(method: int, extra: bytes) -> None:
    content = zipped(kline_csv(BARS), "a.csv", method, extra)
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        plain = bundle.read("a.csv").decode()
    table = parse_klines("a.zip", content)
    assert table.equals(parse_klines("a.zip", zipped(plain, "b.csv")))
    assert table.equals(BARS)


def test_the_months_of_a_folder_are_stored(importer: Importer, folder: Path) -> None:
    publish_months(folder)
    report = importer(folder)
    assert importer.stored().equals(BARS)
    assert report.rows == BARS.height
    assert [Path(path).name for path in report.files] == [
        "BTCUSDT-1h-2025-01.zip",
        "BTCUSDT-1h-2025-02.zip",
    ]
    assert importer.progress[-1].fraction == 1


def test_symbols_that_are_imported_side_by_side_are_all_stored_and_told_in_order(
    importer: Importer, folder: Path
) -> None:
    symbols = tuple(f"SYM{count}USDT" for count in range(9))
    for symbol in symbols:
        publish_months(folder, symbol)

    report = importer(folder, symbols=symbols)

    assert report.rows == len(symbols) * BARS.height
    assert [path.split("/")[-3] for path in report.files] == [s for s in symbols for _ in MONTHS]
    assert all(importer.stored(symbol=symbol).equals(BARS) for symbol in symbols)
    assert importer.progress[-1].done == importer.progress[-1].total == len(symbols) * len(MONTHS)


def test_one_bad_file_ends_the_import_of_all_symbols(importer: Importer, folder: Path) -> None:
    publish_months(folder, "SYM0USDT")
    publish_months(folder, "SYM1USDT")
    put(folder, f"{UM}/monthly/klines/SYM0USDT/1h/SYM0USDT-1h-2025-01.zip", b"not a zip")

    with pytest.raises(DataError, match="SYM0USDT-1h-2025-01"):
        importer(folder, symbols=("SYM0USDT", "SYM1USDT"))


def test_files_in_one_flat_folder_are_found(importer: Importer, folder: Path) -> None:
    for date, table in MONTHS.items():
        stem = f"BTCUSDT-1h-{date}"
        put(folder, f"{stem}.zip", zipped(kline_csv(table), f"{stem}.csv"))
    importer(folder)
    assert importer.stored().equals(BARS)


def test_spot_files_in_microseconds_are_stored_in_milliseconds(
    importer: Importer, folder: Path
) -> None:
    put_klines(folder, SPOT, "BTCUSDT", "2025-01", kline_csv(MONTHS["2025-01"], per_ms=1000))
    importer(folder, "binance-spot", span=(JANUARY, FEBRUARY))
    assert importer.stored("binance-spot").equals(MONTHS["2025-01"])


def test_days_stand_in_for_a_month_that_is_not_published_yet(
    importer: Importer, folder: Path
) -> None:
    put_klines(folder, UM, "BTCUSDT", "2025-01", kline_csv(MONTHS["2025-01"]))
    for day in range(3):
        table = MONTHS["2025-02"][24 * day : 24 * (day + 1)]
        put_klines(folder, UM, "BTCUSDT", f"2025-02-{day + 1:02}", kline_csv(table, header=True))
    report = importer(folder, span=(JANUARY, FEBRUARY + 3 * DAY))
    assert importer.stored().equals(BARS[: 34 * 24])
    assert len(report.files) == 4


def test_importing_twice_changes_nothing(importer: Importer, folder: Path) -> None:
    publish_months(folder)
    importer(folder)
    files = {path: path.stat().st_ino for path in importer.history.root.rglob("*.parquet")}
    again = importer(folder)
    assert again.files == ()
    assert again.complete == ("BTCUSDT 2025-01", "BTCUSDT 2025-02")
    assert files == {path: path.stat().st_ino for path in importer.history.root.rglob("*.parquet")}


def test_an_import_fills_the_holes_of_a_fetch_even_known_ones(
    importer: Importer, folder: Path
) -> None:
    publish_months(folder)
    history = importer.history
    history.upsert_klines("binance-usdm", "1h", "BTCUSDT", BARS[::2])
    requests = history.missing_klines("binance-usdm", "1h", ["BTCUSDT"], JANUARY, MARCH)
    history.confirm_klines("binance-usdm", "1h", requests)
    importer(folder)
    assert importer.stored().equals(BARS)


def test_a_file_that_does_not_match_its_checksum_is_refused_by_name(
    importer: Importer, folder: Path
) -> None:
    publish_months(folder)
    damaged = next(folder.rglob("BTCUSDT-1h-2025-02.zip"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"BTCUSDT-1h-2025-02\.zip .*its \.CHECKSUM says"):
        importer(folder)
    assert importer.stored().equals(MONTHS["2025-01"])  # what came before is kept


@pytest.mark.parametrize("text", ["", "deadbeef  BTCUSDT-1h-2025-01.zip\n", "<html>"])
def test_a_checksum_that_is_none_is_refused(importer: Importer, folder: Path, text: str) -> None:
    path = put_klines(folder, UM, "BTCUSDT", "2025-01", kline_csv(MONTHS["2025-01"]))
    path.with_name(f"{path.name}.CHECKSUM").write_text(text)
    with pytest.raises(DataError, match=r"BTCUSDT-1h-2025-01\.zip"):
        importer(folder)


def test_a_file_without_checksum_is_refused_by_name(importer: Importer, folder: Path) -> None:
    path = put_klines(folder, UM, "BTCUSDT", "2025-01", kline_csv(MONTHS["2025-01"]))
    path.with_name(f"{path.name}.CHECKSUM").unlink()
    with pytest.raises(DataError, match=r"BTCUSDT-1h-2025-01\.zip has no \.CHECKSUM"):
        importer(folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"not a zip", "not a zip file"),
        (zipped("1,2,3\n4,5,6\n", "a.csv"), "3 columns; expected 12"),
        (zipped("1,2,3,4,5,6,7,8,9,10,11,x\n".replace("2", "many"), "a.csv"), "CSV of numbers"),
        (zipped("", "a.csv"), "1 columns; expected 12"),
        (with_byte_changed(zipped(kline_csv(BARS), "a.csv"), 1000), "not a zip file"),
        (with_byte_changed(zipped("1," * 12, "a.csv"), CHECKSUM_PLACE), "not a zip file"),
    ],
    ids=["no zip", "columns missing", "words for numbers", "empty", "damaged", "other content"],
)
def test_a_broken_file_with_a_right_checksum_is_refused_by_name(
    importer: Importer, folder: Path, content: bytes, complaint: str
) -> None:
    put(folder, f"{UM}/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01.zip", content)
    with pytest.raises(DataError, match=rf"BTCUSDT-1h-2025-01\.zip .*{complaint}"):
        importer(folder)


def test_absent_months_are_reported_and_no_error(importer: Importer, folder: Path) -> None:
    put_klines(folder, UM, "BTCUSDT", "2025-02", kline_csv(MONTHS["2025-02"]))
    assert importer(folder).absent == ("BTCUSDT 2025-01",)
    assert importer.stored().equals(MONTHS["2025-02"])


def test_an_archive_with_nothing_of_what_was_asked_is_an_error(
    importer: Importer, folder: Path
) -> None:
    publish_months(folder)
    with pytest.raises(DataError, match=r"expected for example data/futures/um/.*NOSUCHUSDT"):
        importer(folder, symbols=("NOSUCHUSDT",))


def test_funding_rates_come_along_and_are_not_asked_for_again(
    importer: Importer, folder: Path
) -> None:
    publish_months(folder)
    hours = range(0, 31 * 24, 8)
    lines = [f"{JANUARY + hour * HOUR + 7},8,-0.000{hour + 1:03}" for hour in hours]
    csv = "\n".join(["calc_time,funding_interval_hours,last_funding_rate", *lines])
    path = f"{UM}/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2025-01.zip"
    put(folder, path, zipped(csv, "BTCUSDT-fundingRate-2025-01.csv"))
    importer(folder)
    history = importer.history
    stored = history.read_funding("binance-usdm", "BTCUSDT", JANUARY, FEBRUARY)
    assert stored["rate"].to_list() == [-float(f"0.000{hour + 1:03}") for hour in hours]
    assert stored["mark_price"].null_count() == len(hours)
    assert history.missing_funding("binance-usdm", ["BTCUSDT"], JANUARY, FEBRUARY) == []


def test_an_archive_behind_a_url_is_imported(importer: Importer, folder: Path) -> None:
    publish_months(folder, "币安人生USDT")
    with serve(folder) as mirror:
        importer(mirror.url + "/", symbols=("币安人生USDT",))
    assert importer.stored(symbol="币安人生USDT").equals(BARS)
    assert not any(path.endswith("2025-01-01.zip.CHECKSUM") for path in mirror.asked)


def test_days_of_months_long_past_are_not_asked_for_one_by_one(
    importer: Importer, folder: Path
) -> None:
    publish_months(folder)
    year_before = JANUARY - 366 * DAY
    with serve(folder) as mirror:
        importer(mirror.url, span=(year_before, MARCH))
    assert importer.stored().equals(BARS)
    assert sum(mirror.asked.values()) < 40


@pytest.mark.parametrize("failure", [503, 429, 0], ids=["503", "429", "half an answer"])
def test_a_passing_failure_is_tried_again_after_a_wait(
    importer: Importer, folder: Path, failure: int
) -> None:
    publish_months(folder)
    with serve(folder, failures=[failure, failure]) as mirror:
        importer(mirror.url)
    assert importer.stored().equals(BARS)
    assert importer.waited == list(WAITS_S[:2])


def test_a_failure_that_stays_ends_the_import_with_the_file(
    importer: Importer, folder: Path
) -> None:
    with (
        serve(folder, failures=[500] * 9) as mirror,
        pytest.raises(TransientServiceError, match=r"HTTP 500 for .*2025-01\.zip\.CHECKSUM"),
    ):
        importer(mirror.url)
    assert importer.waited == list(WAITS_S)


def test_a_server_that_is_not_there_is_a_service_error(importer: Importer, folder: Path) -> None:
    with serve(folder) as mirror:
        gone = mirror.url
    with pytest.raises(TransientServiceError, match="did not arrive"):
        importer(gone)


@pytest.mark.parametrize("status", [403, 451])
def test_refused_access_is_not_tried_again(importer: Importer, folder: Path, status: int) -> None:
    with (
        serve(folder, failures=[status]) as mirror,
        pytest.raises(ConfigError, match=f"HTTP {status}"),
    ):
        importer(mirror.url)
    assert importer.waited == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"source": "kraken"}, "no market 'kraken'"),
        ({"symbols": ()}, "nothing to import"),
        ({"span": (MARCH, JANUARY)}, "nothing to import"),
    ],
    ids=["unknown market", "no symbols", "end before start"],
)
def test_what_cannot_be_imported_is_a_configuration_error(
    importer: Importer, folder: Path, changes: dict[str, tuple[int, int]], complaint: str
) -> None:
    arguments: dict[str, object] = {"location": folder, **changes}
    with pytest.raises(ConfigError, match=complaint):
        importer(**arguments)  # type: ignore[arg-type]


def test_a_folder_that_is_not_there_is_a_configuration_error(
    importer: Importer, folder: Path
) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        importer(folder / "missing")


@pytest.mark.parametrize(
    ("file", "first_ms", "first_close"),
    [
        ("vision_cm_1h_20231027_header.csv", 1698364800000, 34024.2),
        ("vision_spot_1h_20231027_ms.csv", 1698364800000, 34015.27),
        ("vision_spot_1s_20250101_us.csv", 1735689600000, 0.316),
    ],
)
def test_recorded_heads_of_kline_files_parse(
    recorded_data: Path, file: str, first_ms: int, first_close: float
) -> None:
    csv = (recorded_data / "rest_samples" / file).read_text()
    table = parse_klines(file, zipped(csv, file))
    assert dict(table.schema) == CANDLE_SCHEMA
    assert table["open_time"][0] == first_ms
    assert table["close"][0] == first_close
    assert table.null_count().sum_horizontal().item() == 0


def test_the_recorded_head_of_a_funding_file_parses(recorded_data: Path) -> None:
    csv = (recorded_data / "rest_samples" / "vision_um_fundingRate_202001_head.csv").read_text()
    table = parse_funding("funding.zip", zipped(csv, "funding.csv"))
    assert table.rows()[0] == (1577836800000, -0.00012359, None)
