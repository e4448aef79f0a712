"""Prefect automations around the training deployments: `python -m flows.automations --help`.

Examples to start from; Prefect's UI shows and edits them. Running the command again replaces
the automations of that deployment by name.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.actions import RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.milestones import DRIFT, PUBLISHED, REFUSED, resource_of
from gnn_trainer.config import TrainConfig

STALE_AFTER_HOURS = 25.0  # of a daily training, with an hour to do it in


def main(argv: Sequence[str]) -> int:
    """Create or replace the automations; returns the exit code."""
    arguments = _parser().parse_args(argv)
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(arguments.deployment)
            block = arguments.notify and _notification_block(client, arguments.notify)
        except ObjectNotFound as exc:
            sys.stderr.write(f"not known to this Prefect server: {exc}; create it first\n")
            return 2
        wanted = [
            retrain_on_drift(deployment),
            retrain_when_stale(deployment, arguments.stale_hours),
        ]
        if block:
            wanted.append(alert_on_refusal(deployment, block))
        for automation in wanted:
            _replace(client, automation)
    if not block:
        sys.stdout.write("no alert on refused models: name a notification block with --notify\n")
    return 0


def retrain_on_drift(deployment: DeploymentResponse) -> AutomationCore:
    """Train when whoever watches the predictions reports drift."""
    return AutomationCore(
        name=f"{deployment.name}: retrain on drift",
        description=f"Runs the deployment on the event {DRIFT} of its model.",
        trigger=EventTrigger(
            expect={DRIFT},
            match={"prefect.resource.id": resource_of(model_of(deployment))},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[_run(deployment)],
    )


def retrain_when_stale(deployment: DeploymentResponse, hours: float) -> AutomationCore:
    """Train when a published version was not followed by another for so many hours."""
    return AutomationCore(
        name=f"{deployment.name}: retrain when stale",
        description=f"Runs the deployment when no version was published for {hours:g} hours.",
        trigger=EventTrigger(
            after={PUBLISHED},
            expect={PUBLISHED},
            match={"prefect.resource.id": resource_of(model_of(deployment))},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(hours=hours),
        ),
        actions=[_run(deployment)],
    )


def alert_on_refusal(deployment: DeploymentResponse, block_id: UUID) -> AutomationCore:
    """Notify when the gate refuses a model."""
    return AutomationCore(
        name=f"{deployment.name}: alert on refused gate",
        description=f"Notifies on the event {REFUSED} of its model.",
        trigger=EventTrigger(
            expect={REFUSED},
            match={"prefect.resource.id": resource_of(model_of(deployment))},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=block_id,
                subject="{{ event.resource.name }}: model refused",
                body="Version {{ event.payload.version }} was not promoted: "
                "{{ event.payload.reason }}",
            )
        ],
    )


def model_of(deployment: DeploymentResponse) -> str:
    """The model name that the deployment trains."""
    given = (deployment.parameters or {}).get("config") or {}
    return str(given.get("model_name", TrainConfig().model_name))


def _run(deployment: DeploymentResponse) -> RunDeployment:
    return RunDeployment(source="selected", deployment_id=deployment.id)


def _notification_block(client: SyncPrefectClient, slug: str) -> UUID:
    """`<block type>/<name>`, as Prefect's UI shows it."""
    block_type, _, name = slug.partition("/")
    return client.read_block_document_by_name(name, block_type, include_secrets=False).id


def _replace(client: SyncPrefectClient, automation: AutomationCore) -> None:
    for earlier in client.read_automations_by_name(automation.name):
        client.delete_automation(earlier.id)
    client.create_automation(automation)
    sys.stdout.write(f"automation: {automation.name}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flows.automations", description=__doc__)
    parser.add_argument("--deployment", default="train/train", help="flow/name [train/train]")
    parser.add_argument(
        "--stale-hours",
        type=float,
        default=STALE_AFTER_HOURS,
        help=f"retrain when no version was published for so long [{STALE_AFTER_HOURS:g}]",
    )
    parser.add_argument(
        "--notify", metavar="TYPE/NAME", help="notification block for refused models"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
