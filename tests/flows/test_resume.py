"""Attempts after attempts that were killed, on the same machine and on another."""

import signal

from gnn_trainer.adapters.s3 import S3Store
from tests.flows.service import ENDLESS, Service
from tests.flows.subprocesses import is_training
from tests.s3_server import ACCESS_KEY, SECRET_KEY, s3_server

MANY = ("--epochs", "120", "--fit.patience", "120")


def test_a_killed_run_is_carried_on_by_the_next_attempt(service: Service) -> None:
    with service.listening() as stream:
        with service.run(*MANY) as run:
            stream.wait_for(is_training)
            run.send(signal.SIGKILL)
            assert run.wait() == -signal.SIGKILL
        with service.run(*MANY) as run:
            events = stream.until_end()
            assert run.wait() == 0

    assert "resuming after epoch" in run.text
    assert [event["extra"]["seq"] for event in events] == list(range(1, len(events) + 1))
    attempts = [event["extra"]["attempt"] for event in events]
    assert attempts == sorted(attempts)
    assert set(attempts) == {1, 2}
    assert [event["status"] for event in events if event["finished"]] == ["finished"]
    assert service.checkpoints == []


def test_a_run_of_another_queue_id_starts_fresh(service: Service) -> None:
    with service.listening() as stream, service.run(*ENDLESS) as run:
        stream.wait_for(is_training)
        run.send(signal.SIGKILL)
        run.wait()
    assert len(service.checkpoints) == 1
    with service.run(*ENDLESS, QUEUE_ID=f"{service.queue_id}-next") as run:
        assert "queue_id" in run.wait_for_line("starting fresh")


def test_a_stopped_run_is_carried_on_from_the_bucket_on_another_machine(service: Service) -> None:
    with s3_server() as server, service.listening() as stream:
        service.variables |= {
            "MINIO_ENDPOINT": server.url,
            "MINIO_ACCESS_KEY": ACCESS_KEY,
            "MINIO_SECRET_KEY": SECRET_KEY,
            "MINIO_BUCKET_NAME": service.queue_id,
        }
        store = S3Store(server.settings(service.queue_id))
        with service.run(*ENDLESS) as run:
            stream.wait_for(is_training)
            service.command()
            interrupted = stream.until_end()[-1]
            assert run.wait() == 0
        assert store.exists(f"{interrupted['extra']['prefix']}/manifest.json")
        assert not store.exists("small/latest.json")
        assert len(store.keys(f"checkpoints/{service.queue_id}/")) == 1

        with service.run(*ENDLESS, WORKSPACE=str(service.folder / "elsewhere")) as run:
            run.wait_for_line("resuming after epoch")

    for secret in (ACCESS_KEY, SECRET_KEY, server.url):
        assert secret not in str(stream.events)
