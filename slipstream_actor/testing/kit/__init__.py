"""The test is the server: `SocketTest`, `accept_connect`, `assert_push`, …, without a socket.

Open `kit.py` first, then `fake_connection.py`, which a client in test mode has for a connection.
May use the client and all below it; `server/` and `proxy/` use nothing of this.
"""
