"""Clients under load and faults for a long time: nothing grows, nothing is lost. See README.md."""
