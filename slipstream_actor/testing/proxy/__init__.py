"""A TCP proxy that does what networks do: `FaultProxy`.

Open `proxy.py` first; the bytes go through `forwarder.py`. May use the standard library, and of
`server/` how it listens and wakes up; nothing of the client.
"""
