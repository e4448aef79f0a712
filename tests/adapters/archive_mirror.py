"""A little archive: zips with their .CHECKSUM in a folder, and a server for that folder."""

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import polars as pl

KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)


def kline_csv(table: pl.DataFrame, *, header: bool = False, per_ms: int = 1) -> str:
    """Candles as the archive writes them; `per_ms=1000` for files in microseconds."""
    lines = [
        f"{row['open_time'] * per_ms},{row['open']},{row['high']},{row['low']},{row['close']},"
        f"{row['volume']},{(row['open_time'] + 3_599_999) * per_ms},{row['quote_volume']},"
        f"{row['trades']},{row['taker_buy_volume']},{row['taker_buy_quote_volume']},0"
        for row in table.iter_rows(named=True)
    ]
    return "\n".join([KLINE_HEADER, *lines] if header else lines) + "\n"


def zipped(csv: str, name: str, method: int = zipfile.ZIP_DEFLATED, extra: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as bundle:
        member = zipfile.ZipInfo(name)
        member.compress_type, member.extra = method, extra
        bundle.writestr(member, csv)
    return buffer.getvalue()


def put(folder: Path, path: str, content: bytes) -> Path:
    """Publish a file with its .CHECKSUM."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    target.with_name(f"{target.name}.CHECKSUM").write_text(f"{digest}  {target.name}\n")
    return target


def put_klines(folder: Path, directory: str, symbol: str, date: str, csv: str) -> Path:
    """Publish 1h candles of a month (YYYY-MM) or a day (YYYY-MM-DD)."""
    period = "monthly" if len(date) == 7 else "daily"
    stem = f"{symbol}-1h-{date}"
    path = f"{directory}/{period}/klines/{symbol}/1h/{stem}.zip"
    return put(folder, path, zipped(csv, f"{stem}.csv"))


@dataclass
class Mirror:
    """A running server. `failures` are the statuses it answers first, 0 for half an answer."""

    url: str
    failures: list[int] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)


@contextmanager
def serve(folder: Path, failures: Sequence[int] = ()) -> Iterator[Mirror]:
    """Serve `folder` over HTTP on loopback, 404 for what is not there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path).lstrip("/")
            mirror.asked[path] += 1
            target = folder / path
            status = mirror.failures.pop(0) if mirror.failures else 200
            content = target.read_bytes() if target.is_file() else b"<Code>NoSuchKey</Code>"
            if status == 200 and not target.is_file():
                status = 404
            self.send_response(status or 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if status else content[: len(content) // 2])

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror = Mirror(f"http://127.0.0.1:{server.server_port}", list(failures))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
