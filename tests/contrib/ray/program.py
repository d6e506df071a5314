"""Runs the scenarios on a cluster of its own, and prints what became of each:
`python -m tests.contrib.ray.program [NAME…]`.

A program, since Ray leaves threads and descriptors in the process that has used it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import secrets
import sys
import tempfile
import time
import traceback
import warnings

from tests.contrib.ray.rooms import phoenix

# A token of its own: Ray would leave one in the home of whoever runs this.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
# Seconds after which a scenario hangs: the program then says where its threads are, and ends.
HANGS = 90.0


def main(names: list[str]) -> int:
    """Run the scenarios of those names, or all; return how many have failed."""
    os.environ.update(QUIET, RAY_AUTH_TOKEN=secrets.token_hex(16))
    import ray

    from slipstream_actor.contrib.ray import RayNotInitializedError
    from tests.contrib.ray.scenarios import BY_NAME, SCENARIOS
    from tests.contrib.ray.world import World

    failed = 0
    faulthandler.dump_traceback_later(HANGS, exit=True)
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,
        phoenix() as (server, log),
        ray.init(
            address="local",
            num_cpus=1,
            include_dashboard=False,
            object_store_memory=80 << 20,
            log_to_driver=False,
            _temp_dir=folder,
        ) as context,
    ):
        world = World(context.address_info["gcs_address"], server, log)
        # Of ours, from here on.
        warnings.simplefilter("error")
        wanted = [s for s in (*SCENARIOS, *BY_NAME) if s.__name__ in names]
        for scenario in wanted or SCENARIOS:
            faulthandler.dump_traceback_later(HANGS, exit=True)
            began, problem = time.monotonic(), None
            try:
                scenario(world)
            except BaseException:
                problem, failed = traceback.format_exc(), failed + 1
            seconds = round(time.monotonic() - began, 1)
            told = {"name": scenario.__name__, "seconds": seconds, "problem": problem}
            print(json.dumps(told), flush=True)  # noqa: T201 - what the test reads
        # What closes the cluster is bounded too.
        faulthandler.dump_traceback_later(HANGS, exit=True)
    # Ray is shut down by now, and what was left open is told so, and can be closed.
    try:
        world.shards.topics()
    except RayNotInitializedError:
        world.shards.close()
        # Its iteration ends, where it is not what was chosen to run.
        for _ in world.left[0] if world.left is not None else ():
            pass
        return failed
    return failed + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
