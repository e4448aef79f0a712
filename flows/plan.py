"""What a run will look at: which symbols and which closed bars, by the exchange's own clock."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from gnn_trainer.config import TrainConfig, resolve_span
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.market.listing import SymbolListing
from gnn_trainer.market.universe import parse_symbols, resolve_universe
from gnn_trainer.ports import MarketSource


class Plan(BaseModel):
    """Bars with start_ms <= open time < end_ms, unix ms, all closed when the plan was made."""

    model_config = ConfigDict(frozen=True)

    source: str
    interval: str
    listings: tuple[SymbolListing, ...]
    dropped: dict[str, str]  # symbols asked for and not used, with the reason
    start_ms: int
    end_ms: int
    closed_ms: int  # close of the newest closed bar; end_ms unless the range ends in the past

    @property
    def bars(self) -> tuple[str, str, tuple[str, ...], int, int]:
        """What decides which bars are read; part of cache keys."""
        return self.source, self.interval, self.symbols, self.start_ms, self.end_ms

    def __str__(self) -> str:
        start, end = (
            datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
            for ms in (self.start_ms, self.end_ms)
        )
        bars = (self.end_ms - self.start_ms) // self.step_ms
        return (
            f"{self.num_symbols} symbols of {self.source}, {bars:,} bars of {self.interval} each, "
            f"{start} to {end} UTC"
        )

    @property
    def num_symbols(self) -> int:
        return len(self.listings)

    @property
    def step_ms(self) -> int:
        return interval_ms(self.interval)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(listing.symbol for listing in self.listings)


def make_plan(source: MarketSource, config: TrainConfig) -> Plan:
    """Ask the exchange for its time and its symbols; a few small requests.

    Raises:
        ConfigError: no such symbol, or a time range without a closed bar.
        ServiceError: the exchange cannot be asked.
    """
    step = interval_ms(config.interval)
    now_ms = source.server_time_ms()
    start_ms, end_ms = resolve_span(
        config.time_range, now_ms, config.interval, config.split.step_days
    )
    choice = parse_symbols(config.symbols)
    volumes = source.quote_volumes() if choice.top is not None else {}
    universe = resolve_universe(choice, source.listings(), volumes, start_ms, end_ms)
    return Plan(
        source=source.name,
        interval=config.interval,
        listings=universe.listings,
        dropped=universe.dropped,
        start_ms=start_ms,
        end_ms=end_ms,
        closed_ms=now_ms // step * step,
    )
