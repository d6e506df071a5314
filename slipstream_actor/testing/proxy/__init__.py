"""A TCP proxy that does what networks do: `FaultProxy`.

Open `proxy.py` first. Uses the server's sockets, and nothing of the client.
"""
