"""The clients that are compared, each a program of its own.

`python -m benchmarks.peers.NAME TASK LOAD` does one task of `benchmarks/workloads.py` once to warm
up and once with the clock running, and prints what it found as one JSON object. LOAD is JSON too:
`Load` in `program.py`, where to read first. What a client cannot do it names, with the reason.
"""
