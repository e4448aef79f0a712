"""What a run as a service needs: a broker, a Prefect server, an exchange, a workspace."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from gnn_trainer.exchange.process import RunningExchange
from tests.adapters.kafka_brokers import MockBroker
from tests.flows.laboratory import SMALL
from tests.flows.subprocesses import ROOT, EventStream, TrainProcess, listening

TRAIN = ROOT / "flows" / "train.py"
ENDLESS = ("--epochs", "100000", "--fit.patience", "100000")


def small_flags() -> list[str]:
    """The small configuration of the laboratory as flags."""
    flags: list[str] = []
    for name, value in SMALL.items():
        inner = value if isinstance(value, dict) else {"": value}
        for part, setting in inner.items():
            flag = f"{name}.{part}" if part else name
            flags += [f"--{flag.replace('_', '-')}", str(setting)]
    return flags


@dataclass
class Service:
    """Starts runs, talks to them, and sees what they tell."""

    broker: MockBroker
    api_url: str
    exchange: RunningExchange
    folder: Path
    queue_id: str
    variables: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def run(self, *flags: str, **variables: str) -> Iterator[TrainProcess]:
        """`python flows/train.py`."""
        with self.process(str(TRAIN), *small_flags(), *flags, **variables) as process:
            yield process

    @contextmanager
    def process(self, *arguments: str, **variables: str) -> Iterator[TrainProcess]:
        """Any Python in the environment of a run."""
        with TrainProcess(self.folder, self.environ | variables, *arguments) as process:
            yield process

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a run."""
        return {
            "PREFECT_API_URL": self.api_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.settings.bootstrap_servers,
            "QUEUE_ID": self.queue_id,
            "QUEUE_CONTROL_TOPIC": self._control_topic,
            "BINANCE_FUTURES_URL": self.exchange.url,
            "WORKSPACE": str(self.folder / "workspace"),
        } | self.variables

    @contextmanager
    def listening(self) -> Iterator[EventStream]:
        with listening(self.broker, self.queue_id) as stream:
            yield stream

    def command(self, name: str = "stop", queue_id: str | None = None, **more: object) -> None:
        message = {"command": name, "queue_id": queue_id or self.queue_id, **more}
        self.broker.put(self._control_topic, message)

    def flow_run(self) -> FlowRun:
        """The newest flow run with our queue_id among its tags."""
        ours = FlowRunFilter(tags=FlowRunFilterTags(all_=[self.queue_id]))
        with get_client(sync_client=True) as client:
            return client.read_flow_runs(
                flow_run_filter=ours, sort=FlowRunSort.START_TIME_DESC, limit=1
            )[0]

    @property
    def _control_topic(self) -> str:
        return f"control-{self.queue_id}"  # of its own: a stop for everybody concerns no other test

    @property
    def models(self) -> Path:
        return self.folder / "workspace" / "models" / "small"

    @property
    def checkpoints(self) -> list[Path]:
        return list((self.folder / "workspace" / "checkpoints").glob("*.safetensors"))
