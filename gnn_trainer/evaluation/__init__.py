"""Judging a model: metrics, baselines on identical samples, the report."""
