"""Measurements of the product beside a floor: a minimal server that does the same remote work and promises nothing.

`make bench` runs `requests`, `stall`, `cold`, `session`, `growth`, `worker`, `renditions` and `masks`; `make soak` runs
`soak` and `attack`. The docstring of each says what it measures, beside which floor, and how to read it. A row is
MISSED if it does not meet its goal. Compare ratios between machines, and absolute values on one idle machine only;
docs/performance.md has results.
"""
