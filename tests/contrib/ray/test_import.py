"""What the import of `slipstream_actor.contrib.ray` needs, and what it brings."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_without_the_extra_it_says_what_is_missing() -> None:
    told = run(
        "import sys\n"
        "sys.modules['ray'] = None\n"
        "try:\n"
        "    from slipstream_actor.contrib.ray import Shards\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    assert told == "Ray needs the extra: pip install 'slipstream_actor[ray]'"


def test_ray_is_imported_when_it_is_used() -> None:
    assert run("import sys, slipstream_actor.contrib.ray; print('ray' in sys.modules)") == "False"


def test_where_ray_is_not_initialised_each_use_says_how() -> None:
    told = run(
        "from slipstream_actor import ClientActor\n"
        "from slipstream_actor.contrib.ray import RayNotInitializedError, Shards\n"
        "for use in (lambda: Shards(ClientActor, name='a'), lambda: Shards.attach('a')):\n"
        "    try:\n"
        "        use()\n"
        "    except RayNotInitializedError as error:\n"
        "        print('ray.init(address=' in str(error))\n"
    )
    assert told.split() == ["True", "True"]
