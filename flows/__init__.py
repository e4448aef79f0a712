"""The training flow. Prefect lives here and nowhere else."""

from gnn_trainer.machine import settle_process

settle_process()  # before torch is loaded
