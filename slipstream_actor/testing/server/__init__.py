"""An embedded Phoenix: real sockets, and the behaviour of Phoenix 1.8.12.

Open `server.py` first. Needs the extra `testing`; uses nothing of the client.
"""
