"""`ClientActor`, which users subclass: events become callbacks, their results the next socket.

Open `client.py` first. May use `socket` and below.
"""
