"""`make demo EXAMPLE=flask_app`: an embedded server, the application, and what a browser sees."""

from __future__ import annotations

from examples.flask_app.app import create_app, slipstream
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.testing.server.shell_app import SHELL_CHANNELS


def main() -> None:
    """Ask for each page, also when Phoenix has gone."""
    with PhoenixServer(SHELL_CHANNELS) as server:
        app = create_app(SLIPSTREAM_URI=server.uri)
        browser = app.test_client()
        for body in ("hello", ""):
            answer = browser.post("/messages", json={"body": body})
            print(f"POST /messages {body!r}: {answer.status_code} {answer.json}")
        print("GET /messages/last:", browser.get("/messages/last").json)
        print("GET /health:", browser.get("/health").status_code)
    print("-- Phoenix has gone --")
    answer = browser.post("/messages", json={"body": "hello?"})
    print(f"POST /messages: {answer.status_code} {answer.json}")
    print("GET /health:", browser.get("/health").status_code)
    slipstream.client.stop()


if __name__ == "__main__":
    main()
