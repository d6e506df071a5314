"""Pykka as we need it: actors, inboxes, envelopes, futures, names, monitors, forks, the exit.

Open `actor.py` first, then `inbox.py`: what an actor waits for. May use `configuration` and below.
"""
