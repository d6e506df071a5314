"""The immutable `Socket`: what a process knows of its connection, and all that it can ask for.

Open `socket.py` first, the public methods; `state.py` has the fields, `apply_event.py` is
how events change them. May use `connection` and below.
"""
