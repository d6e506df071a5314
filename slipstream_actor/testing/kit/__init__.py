"""The test as the server: `accept_connect`, `assert_push`, … and `SocketTest`, without a socket.

Open `kit.py` first. May use the client and all below it.
"""
