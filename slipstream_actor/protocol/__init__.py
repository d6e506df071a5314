"""Phoenix Channels without I/O, threads or a clock: messages, joins, replies, heartbeats, presence.

Open `channels.py` first: the state machine. Uses `errors` and nothing else of the package.
"""
