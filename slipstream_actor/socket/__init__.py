"""The immutable `Socket`: what a process knows of its connection, and all that it can ask for.

Open `socket.py` first, the public methods; `state.py` is how events change it. May use
`connection` and below.
"""
