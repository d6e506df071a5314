"""Supervisors: they start clients, and start them again when they end, as OTP's do.

Open `supervisor.py` first. May use `client` and below.
"""
