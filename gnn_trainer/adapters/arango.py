"""ArangoDB through python-arango: the prepared graph, and the final market graph written back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from arango.client import ArangoClient
from arango.database import StandardDatabase
from arango.exceptions import ArangoServerError
from arango.http import DefaultHTTPClient

from gnn_trainer.errors import ConfigError, GnnTrainerError, ServiceError, TransientServiceError
from gnn_trainer.ports import Extent, RelationSource
from gnn_trainer.services import ArangoSettings

REQUEST_TIMEOUT_S = 10.0
BATCH = 1000  # documents per request
_ALL = "FOR document IN @@collection RETURN document"
# Error numbers: https://docs.arangodb.com/stable/develop/error-codes/
_NO_COLLECTION, _NO_DATABASE = 1203, 1228
_NO_SUCH_CALL = (404, 405, 501)


class ArangoRelations(RelationSource):
    """The collections of a prepared graph. Nothing is asked before the first call."""

    def __init__(self, settings: ArangoSettings) -> None:
        self._settings = settings
        self.name = f"ArangoDB {settings.database}/{','.join(settings.collections)}"

    def extent(self) -> Extent:
        """Documents and revision of all collections together; absent ones have none.

        Raises:
            ConfigError: user, password, rights or the database's name are wrong.
            ServiceError: ArangoDB does not answer, or not like ArangoDB.
        """
        with _connected(self._settings) as database:
            extents = [_extent(database, name) for name in self._settings.collections]
        return Extent(
            documents=sum(extent.documents for extent in extents),
            revision=" ".join(f"{extent.documents}:{extent.revision}" for extent in extents),
        )

    def documents(self) -> Iterator[object]:
        """All documents, as they are; errors as for `extent`."""
        with _connected(self._settings) as database:
            for name in self._settings.collections:
                yield from _documents(database, name)


def write_graph(settings: ArangoSettings, documents: Sequence[Mapping[str, object]]) -> int:
    """Put documents with keys of their own into the collection for them; returns how many.

    Doing it again replaces them. The collection is made if it is absent.

    Raises:
        ConfigError: user, password, rights or the database's name are wrong.
        ServiceError: ArangoDB does not answer, or refuses a document.
    """
    name = settings.write_back
    assert name is not None, "nobody asked for the graph to be written back"
    with _connected(settings) as database:
        if not database.has_collection(name):
            database.create_collection(name)
        for start in range(0, len(documents), BATCH):
            batch = [dict(document) for document in documents[start : start + BATCH]]
            database.collection(name).import_bulk(batch, halt_on_error=True, on_duplicate="replace")
    return len(documents)


def _extent(database: StandardDatabase, name: str) -> Extent:
    collection = database.collection(name)
    try:
        count: Any = collection.count()
    except ArangoServerError as exc:
        if exc.error_code == _NO_COLLECTION:
            return Extent(0, "absent")
        raise
    try:
        return Extent(int(count), str(collection.revision()))
    except ArangoServerError as exc:
        if exc.http_code not in _NO_SUCH_CALL:
            raise
        return Extent(int(count), "")  # then the count alone tells of changes


def _documents(database: StandardDatabase, name: str) -> Iterator[object]:
    try:
        cursor: Any = database.aql.execute(_ALL, bind_vars={"@collection": name}, batch_size=BATCH)
    except ArangoServerError as exc:
        if exc.error_code == _NO_COLLECTION:
            return
        raise
    yield from cursor


@contextmanager
def _connected(settings: ArangoSettings) -> Iterator[StandardDatabase]:
    client = ArangoClient(
        hosts=settings.url,
        resolver_max_tries=1,  # whoever waits for a graph asks again, and can be stopped between
        http_client=DefaultHTTPClient(request_timeout=REQUEST_TIMEOUT_S, retry_attempts=0),
        verify_override=None if settings.ca_path is None else str(settings.ca_path),
    )
    password = settings.password.get_secret_value()
    try:
        with _explained(settings):
            yield client.db(settings.database, settings.user, password)
    finally:
        client.close()


@contextmanager
def _explained(settings: ArangoSettings) -> Iterator[None]:
    """The vendor's errors, and those of the HTTP library below it, as ours; none has the address.

    The vendor indexes into whatever it was answered, so a stranger's answer is a TypeError or a
    KeyError.
    """
    try:
        yield
    except ArangoServerError as exc:
        raise _judged(exc, settings) from exc
    except (requests.RequestException, ConnectionError) as exc:
        raise TransientServiceError(
            f"ArangoDB does not answer ({type(exc).__name__}); is ARANGO_URL right, is the server "
            "up, and is its certificate signed by ARANGO_CA_PATH?"
        ) from exc
    except (TypeError, KeyError) as exc:
        raise ServiceError(
            "what answers at ARANGO_URL does not speak ArangoDB's REST interface; correct it"
        ) from exc


def _judged(error: ArangoServerError, settings: ArangoSettings) -> GnnTrainerError:
    said = f"ArangoDB: HTTP {error.http_code} ({error.error_code}) {error.error_message or ''}"
    if error.http_code == 401:
        return ConfigError(f"{said}; check ARANGO_USER and ARANGO_PASSWORD")
    if error.http_code == 403:
        return ConfigError(f"{said}; give ARANGO_USER rights on database {settings.database!r}")
    if error.error_code == _NO_DATABASE:
        return ConfigError(f"{said}; there is no database {settings.database!r}: check ARANGO_DB")
    if error.http_code in (408, 429) or error.http_code >= 500:
        return TransientServiceError(said)
    return ServiceError(said)
