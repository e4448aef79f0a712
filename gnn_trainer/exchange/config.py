"""What the simulated exchange simulates."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gnn_trainer.market.intervals import DAY_MS, interval_ms

LOOPBACK, EVERY_ADDRESS = "127.0.0.1", "0.0.0.0"
DEFAULT_SPAN_MS = 180 * DAY_MS


class RequestLimits(BaseModel):
    """How much a client may ask. The defaults are Binance's own, per IP address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spot_weight: int = Field(6000, ge=1, description="Request weight per minute, spot.")
    usdm_weight: int = Field(2400, ge=1, description="Request weight per minute, USD-M.")
    funding_requests: int = Field(500, ge=1, description="Funding requests per five minutes.")


TRUE_LIMITS = RequestLimits()
GENEROUS_LIMITS = RequestLimits(
    spot_weight=1_000_000, usdm_weight=1_000_000, funding_requests=1_000_000
)


class ExchangeConfig(BaseModel):
    """A generated market, or with `replay` recorded candles; then seed and sizes mean nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(7, ge=0, description="Same seed, same market, byte for byte.")
    symbols: int = Field(20, ge=4, le=500, description="Clean USDT perpetuals; traps are extra.")
    interval: str = Field("1h", description="Finest bars served; multiples are aggregated.")
    bars: int | None = Field(
        None,
        ge=100,
        le=200_000,
        description="Closed bars at the default time; None is about 180 days of them.",
    )
    strength: float = Field(
        0.17,
        ge=0.0,
        lt=1.0,
        description="Correlation of a symbol's own return with what its leaders foretell.",
    )
    replay: Path | None = Field(None, description="Parquet file of candles to serve instead.")
    now_ms: int | None = Field(
        None, ge=0, description="Server time at the start, unix ms; None is inside the newest bar."
    )
    ticking: bool = Field(True, description="Whether server time goes on with real time.")
    host: str = Field(LOOPBACK, description="Address to listen on; 0.0.0.0 is all of them.")
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    limits: RequestLimits = TRUE_LIMITS

    @field_validator("interval")
    @classmethod
    def _known_interval(cls, interval: str) -> str:
        interval_ms(interval)
        return interval

    @property
    def interval_ms(self) -> int:
        return interval_ms(self.interval)

    @property
    def num_bars(self) -> int:
        """Closed bars at the default time: 180 days, but at least 1000 and at most 20,000."""
        if self.bars is not None:
            return self.bars
        return min(max(DEFAULT_SPAN_MS // self.interval_ms, 1000), 20_000)
