"""Datasets on their way between machines that share no workspace, through the model store."""

from gnn_trainer.adapters import model_store
from gnn_trainer.adapters.datasets import DatasetRef, DatasetStore
from gnn_trainer.errors import ArtifactError, DataError
from gnn_trainer.ports import ModelStore
from gnn_trainer.settings import Settings


class Parcels:
    """What one machine sends, another receives, each file once, under its own hash.

    Without a `prefix` the workspace is shared, and everything is there already.
    """

    def __init__(self, datasets: DatasetStore, store: ModelStore, prefix: str | None) -> None:
        self._datasets = datasets
        self._store = store
        self._prefix = prefix

    def send(self, ref: DatasetRef) -> None:
        """Put a dataset where the others find it."""
        if self._prefix is not None and not self._store.exists(key := self._key(ref)):
            self._store.put_bytes(key, self._datasets.get_bytes(ref))

    def receive(self, ref: DatasetRef) -> None:
        """Have a dataset in this machine's workspace.

        Raises:
            ArtifactError: nobody sent it.
            DataError: it is not what was sent.
        """
        if self._prefix is None or self._datasets.holds(ref):
            return
        kind = ref.uri.partition("/")[0]
        if self._datasets.put_bytes(kind, self._store.read(self._key(ref))).uri != ref.uri:
            raise DataError(f"{self._key(ref)} was altered on the way; run again")

    def arrives(self, ref: DatasetRef) -> bool:
        """Receive it, if it was sent and is as it was."""
        try:
            self.receive(ref)
        except (ArtifactError, DataError):
            return False
        return self._datasets.holds(ref)

    def _key(self, ref: DatasetRef) -> str:
        return f"{self._prefix}/{ref.uri}"


def store_of(settings: Settings) -> ModelStore:
    """The model store, for whoever has settings and no run."""
    if settings.minio is None:
        return model_store(settings)
    from flows.stores import minio_client  # it brings boto3

    return model_store(settings, minio_client)
