"""Clients under load and faults for a long time: nothing grows, nothing is lost. See README.md.

Open `__main__.py` first. Uses the library's public interface, and `slipstream_actor.testing`.
"""
