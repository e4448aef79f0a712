"""The Job that Prefect's worker would submit for a run of our deployment."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_HOME, temporary_settings

from gnn_trainer.config import TrainConfig
from gnn_trainer.environment import dotted_fields
from tests.deploy.kubernetes_policy import Manifest, job_breaches, require_valid
from tests.deploy.kubernetes_pool import (
    CREATE_POOL,
    DEPLOY,
    IMAGE,
    README,
    SNIPPETS,
    KubernetesPool,
)
from tests.flows.subprocesses import ROOT

DEADLINE_S = 240.0
_POLL_S = 0.1


def container_of(job: Manifest) -> Manifest:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


def variables_of(job: Manifest) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container_of(job)["env"] if "value" in one}


def test_the_documented_commands_are_those_of_this_test() -> None:
    assert CREATE_POOL in README
    assert f"GNN_TRAINER_IMAGE=<registry>/gnn-trainer:<tag> {DEPLOY}\n" in README


def test_the_job_fits_the_schemas_and_keeps_every_rule(pool: KubernetesPool) -> None:
    job = pool.job()
    require_valid(job)
    assert job_breaches(job) == []
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (1, 1)


def test_the_job_runs_prefects_command_in_our_image(pool: KubernetesPool) -> None:
    container = container_of(pool.job())
    assert container["image"] == IMAGE
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert "command" not in container  # the image's entrypoint, an init, stays


def test_the_resources_of_the_documentation_fit_and_keep_every_rule(pool: KubernetesPool) -> None:
    wanted = yaml.safe_load(SNIPPETS[0])
    job = pool.job(**wanted)
    require_valid(job)
    assert job_breaches(job) == []
    pod = job["spec"]["template"]["spec"]
    assert container_of(job)["resources"]["limits"]["nvidia.com/gpu"] == wanted["gpus"]
    assert pod["nodeSelector"] == wanted["node_selector"]
    assert pod["tolerations"] == wanted["tolerations"]
    assert wanted["workspace_volume"] in pod["volumes"]


def test_a_run_without_gpus_asks_for_none(pool: KubernetesPool) -> None:
    assert "nvidia.com/gpu" not in container_of(pool.job())["resources"]["limits"]


def test_configuration_and_secrets_come_by_reference_and_must_exist(pool: KubernetesPool) -> None:
    assert container_of(pool.job())["envFrom"] == [
        {"configMapRef": {"name": "gnn-trainer-config"}},
        {"secretRef": {"name": "gnn-trainer-secrets"}},
    ]


def test_secrets_in_the_workers_environment_stay_there(
    pool: KubernetesPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAFKA_PASSWORD", "MINIO_SECRET_KEY", "ARANGO_PASSWORD"):
        monkeypatch.setenv(name, "do-not-tell")
    assert "do-not-tell" not in yaml.safe_dump(pool.job())


def test_a_password_of_prefect_in_plain_text_is_a_breach(pool: KubernetesPool) -> None:
    """What the worker would do without the names of Secrets that worker.yaml gives it."""
    with temporary_settings({PREFECT_API_AUTH_STRING: "admin:do-not-tell"}):
        assert "shows PREFECT_API_AUTH_STRING" in job_breaches(pool.job())


def test_prefects_home_is_on_the_writable_volume_wherever_the_workers_is(
    pool: KubernetesPool, tmp_path: Path
) -> None:
    with temporary_settings({PREFECT_HOME: tmp_path}):
        variables = variables_of(pool.job())
    assert variables["PREFECT_HOME"] == "/workspace/prefect-home"
    assert variables["WORKSPACE"] == "/workspace"


def test_variables_for_one_deployment_leave_the_others_in_place(pool: KubernetesPool) -> None:
    variables = variables_of(pool.job(env={"QUEUE_ID": "mine"}))
    assert variables["QUEUE_ID"] == "mine"
    assert variables["PREFECT_LOGGING_EXTRA_LOGGERS"] == "gnn_trainer"


def test_an_evicted_run_is_scheduled_anew_by_prefect(pool: KubernetesPool) -> None:
    variables = variables_of(pool.job())
    assert variables["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"


def test_threads_follow_the_cpu_limit(pool: KubernetesPool) -> None:
    taken = {one["name"]: one.get("valueFrom") for one in container_of(pool.job())["env"]}
    from_limit = {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}
    assert taken["OMP_NUM_THREADS"] == taken["POLARS_MAX_THREADS"] == from_limit


@pytest.mark.parametrize(
    "job_variables",
    [
        {"memory_limt": "8Gi"},
        {"image": ""},
        {"gpus": -1},
        {"termination_grace_period_seconds": 10},
        {"workspace_volume": {"name": "workspace", "hostPath": {"path": "/"}}},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_the_pool_refuses_what_cannot_be_meant(
    pool: KubernetesPool, job_variables: dict[str, Any]
) -> None:
    with pytest.raises(PrefectHTTPStatusError, match=r"40[09]|422"):
        pool.new_run(**job_variables)


def test_deploying_without_an_image_fails_and_says_why(pool: KubernetesPool) -> None:
    code, text = pool.command(DEPLOY)
    assert code == 1
    assert "GNN_TRAINER_IMAGE" in text
    assert "should be non-empty" in text
    assert pool.deployment().job_variables["image"] == IMAGE


def test_the_deployment_has_every_setting_at_its_default(pool: KubernetesPool) -> None:
    config = pool.deployment().parameters["config"]
    assert _leaves(config).keys() == dotted_fields(TrainConfig).keys()
    assert config == TrainConfig().model_dump(mode="json")


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in tree.items():
        inner = _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        flat |= {prefix + name: value} if inner is None else inner
    return flat


def test_the_code_is_taken_from_the_image_without_credentials(pool: KubernetesPool) -> None:
    deployment = pool.deployment()
    assert deployment.pull_steps == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "/opt/gnn-trainer"}}
    ]
    assert deployment.entrypoint == "flows/train.py:train"
    assert deployment.version == IMAGE


def test_image_and_template_agree_on_folders_and_user(pool: KubernetesPool) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]
    variables = variables_of(pool.job())
    security = pool.job()["spec"]["template"]["spec"]["securityContext"]
    assert "\nWORKDIR /opt/gnn-trainer\n" in dockerfile
    assert f"\nUSER {security['runAsUser']}:{security['runAsGroup']}\n" in dockerfile
    for name in ("WORKSPACE", "PREFECT_HOME"):
        assert re.search(rf"\b{name}={variables[name]}\b", dockerfile)


def test_an_active_schedule_makes_runs_and_an_inactive_one_none(pool: KubernetesPool) -> None:
    """The scheduler makes none, and says nothing, with a SQLAlchemy that Prefect cannot use."""
    deployment = pool.deployment()
    (schedule,) = deployment.schedules
    assert (schedule.slug, schedule.active) == ("hourly", False)
    assert pool.scheduled_runs(deployment.id) == []
    with get_client(sync_client=True) as client:
        client.update_deployment_schedule(deployment.id, schedule.id, active=True)
        deadline = time.monotonic() + DEADLINE_S
        while not (runs := pool.scheduled_runs(deployment.id)):
            assert time.monotonic() < deadline, "the scheduler made no run"
            time.sleep(_POLL_S)
        client.update_deployment_schedule(deployment.id, schedule.id, active=False)
    expected = runs[0].expected_start_time
    assert expected is not None
    assert (expected.minute, expected.second) == (2, 0)
    assert runs[0].state_type == StateType.SCHEDULED


def test_one_run_of_a_model_at_a_time_and_models_do_not_wait_for_each_other(
    pool: KubernetesPool, tmp_path: Path
) -> None:
    """The deployment added is the one of the documentation."""
    file = tmp_path / "prefect.yaml"
    file.write_text((ROOT / "prefect.yaml").read_text() + SNIPPETS[1])
    code, text = pool.command(f"{DEPLOY} --prefect-file {file}", GNN_TRAINER_IMAGE=IMAGE)
    assert code == 0, text
    added = pool.deployment("train-majors").parameters["config"]
    assert added["model_name"] == "majors_v1"
    assert added["graph"] == pool.deployment().parameters["config"]["graph"]
    pool.forget_runs()
    first, second, other = (pool.new_run(name) for name in ("train", "train", "train-majors"))
    assert pool.submit(first) == "Pending"
    assert pool.submit(second) == "AwaitingConcurrencySlot"
    assert pool.submit(other) == "Pending"
    pool.end(first)
    assert pool.submit(second) == "Pending"


def test_no_two_deployments_train_one_model() -> None:
    """Each has a limit of its own, so two runs of that model could be at work at once."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    trainings = [one for one in deployments if one["entrypoint"] == "flows/train.py:train"]
    names = [one["parameters"]["config"]["model_name"] for one in trainings]
    assert len(names) == len(set(names))
    assert all(one["concurrency_limit"]["limit"] == 1 for one in trainings)
