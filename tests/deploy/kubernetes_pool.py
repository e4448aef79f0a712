"""Our deployments on a real server, in the pool of our template, made as the documentation says."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Pending
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from tests.deploy.kubernetes_policy import FOLDER, Manifest
from tests.deploy.process_pool import serving
from tests.flows.subprocesses import ROOT, TrainProcess

IMAGE = "registry.example/gnn-trainer:1.2.3"
CREATE_POOL = (
    "prefect work-pool create gnn-k8s --type kubernetes "
    "--base-job-template deploy/kubernetes/base-job-template.json"
)
DEPLOY = "prefect --no-prompt deploy --all"
README = (FOLDER / "README.md").read_text()
SNIPPETS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
_SERVER = "[server.services.scheduler]\nloop_seconds = 1\n"  # 60 unless told


class KubernetesPool:
    """Our deployments on a server, and a worker's view of their runs."""

    def __init__(self, api_url: str, folder: Path) -> None:
        self.api_url = api_url
        self._folder = folder

    def command(self, line: str, **variables: str) -> tuple[int, str]:
        """Exit code and output of a `prefect` command, in the repository."""
        environ = {"PREFECT_API_URL": self.api_url, "PREFECT_HOME": str(self._folder)}
        _, *arguments = shlex.split(line)
        with TrainProcess(ROOT, environ | variables, "-m", "prefect", *arguments) as process:
            return process.wait(), process.text

    def deployment(self, name: str = "train") -> DeploymentResponse:
        with get_client(sync_client=True) as client:
            return client.read_deployment_by_name(f"train/{name}")

    def new_run(self, name: str = "train", **job_variables: Any) -> FlowRun:
        with get_client(sync_client=True) as client:
            return client.create_flow_run_from_deployment(
                self.deployment(name).id, job_variables=job_variables
            )

    def forget_runs(self) -> None:
        """So that no worker takes them."""
        with get_client(sync_client=True) as client:
            for run in client.read_flow_runs():
                client.delete_flow_run(run.id)

    def submit(self, run: FlowRun) -> str:
        """What the server calls the run when a worker is about to make its Job."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Pending())
            return str(client.read_flow_run(run.id).state_name)

    def end(self, run: FlowRun) -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Completed(), force=True)

    def job(self, **job_variables: Any) -> Manifest:
        """The Job of a new run."""
        return asyncio.run(_render(self.new_run(**job_variables)))

    def scheduled_runs(self, deployment_id: UUID) -> list[FlowRun]:
        """Those that Prefect's scheduler made."""
        ours = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
        with get_client(sync_client=True) as client:
            return [r for r in client.read_flow_runs(deployment_filter=ours) if r.auto_scheduled]


async def _render(run: FlowRun) -> Manifest:
    """By prefect-kubernetes' own code, up to its call of Kubernetes."""
    async with get_client() as client:
        configuration = await KubernetesWorkerJobConfiguration.resolve_for_flow_run(
            run,
            client=client,
            work_pool=await client.read_work_pool("gnn-k8s"),
            worker_name="worker",
        )
    return dict(configuration.job_manifest)


@contextmanager
def kubernetes_pool(folder: Path) -> Iterator[KubernetesPool]:
    """Made with the documented commands."""
    (folder / "prefect.toml").write_text(_SERVER)
    with serving(folder) as api_url, temporary_settings({PREFECT_API_URL: api_url}):
        pool = KubernetesPool(api_url, folder)
        for line in (CREATE_POOL, DEPLOY):
            code, text = pool.command(line, GNN_TRAINER_IMAGE=IMAGE)
            assert code == 0, text
        yield pool
