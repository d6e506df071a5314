"""The shell tool, `python -m slipstream_actor`.

Open `main.py` first: the arguments. May use every other room; nobody imports it.
"""
