"""The shell tool, `slipstream-actor` or `python -m slipstream_actor`.

Open `main.py` first, then `application.py`: the commands, and how each ends. One module for each
command; what they share is in `options.py`, `sources.py` (secrets), `output.py` and `exits.py`.
May use every other room; nobody imports it. Only `main.py` does without the extra `cli`.
"""
