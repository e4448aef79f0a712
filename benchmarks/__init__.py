"""Speed and skill, one command each: `python -m benchmarks.<name>`; `make bench` runs them all."""

import flows  # noqa: F401  settings of the process, as runs have them, before torch is loaded
