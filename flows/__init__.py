"""The training flow. Prefect lives here and nowhere else."""
