"""The training flow. Prefect lives here and nowhere else."""

import os

# Before torch is loaded: threads with nothing to do sleep instead of spinning. On cores shared
# with other work, spinning made a training epoch three times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
