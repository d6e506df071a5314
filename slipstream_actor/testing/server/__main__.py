"""`python -m slipstream_actor.testing.server --port 4000` runs an embedded server."""

from slipstream_actor.testing.server.server import main

if __name__ == "__main__":
    main()
