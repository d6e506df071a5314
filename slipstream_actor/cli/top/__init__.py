"""`top`: the processes of a host, live.

Open `command.py` first. `local.py` and `remote.py` have where the processes are from, `reports.py`
what they say, `rows.py` what is shown of that; `view.py` and `screen.py` are how, and `terminal.py`
the terminal.
"""
