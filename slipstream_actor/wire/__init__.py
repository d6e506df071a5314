"""Bytes: name resolution, TCP, TLS, proxies, the upgrade, and websocket frames both ways.

Open `websocket.py` first: the open connection. May use `actors`, `configuration` and below.
"""
