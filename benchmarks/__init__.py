"""Speed and skill, one command each: `python -m benchmarks.<name>`; `make bench` runs them all."""
