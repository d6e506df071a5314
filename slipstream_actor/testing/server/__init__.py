"""An embedded Phoenix: `PhoenixServer`, with real sockets and the behaviour of Phoenix 1.8.12.

Open `server.py` first; then, inwards: `connection.py`, `session.py`, `channel_process.py`,
`channel.py`. Needs the extra `testing`. Uses nothing of the client: they must share no bug.
"""
