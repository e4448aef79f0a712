"""One Prefect server for all tests of what Kubernetes is asked for."""

from collections.abc import Iterator

import pytest

from tests.deploy.kubernetes_pool import KubernetesPool, kubernetes_pool


@pytest.fixture(scope="package")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesPool]:
    with kubernetes_pool(tmp_path_factory.mktemp("kubernetes")) as pool:
        yield pool
