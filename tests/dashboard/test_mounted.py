"""The application where it lives: in Flask, in Django, in a process that was forked, in a wheel."""

from __future__ import annotations

import configparser
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from slipstream_actor import dashboard
from slipstream_actor.dashboard.application import FILES
from tests.support.pages import DOCS, ROOT, fences
from tests.support.programs import Program

GUIDE = DOCS / "guides" / "dashboard.md"

SETTINGS = """
SECRET_KEY = "s3cret"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
"""
DJANGO = """
import sys
sys.path[:0] = [".", sys.argv[1]]
from tests.support.wsgi import Asker
from wsgi import application
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
for name, is_staff in (("staff", True), ("guest", False)):
    User.objects.create_user(name, password=name, is_staff=is_staff)
def status(name, path="/slipstream/", **environ):
    browser = Client()
    if name is not None:
        assert browser.login(username=name, password=name)
    cookie = browser.cookies.get(settings.SESSION_COOKIE_NAME)
    asker = Asker(application)
    if cookie is not None:
        asker.cookie = f"{settings.SESSION_COOKIE_NAME}={cookie.value}"
    return asker.ask(path, **environ).status
assert status("staff") == 200
assert status("staff", "/slipstream/report.json") == 200
assert status("guest") == 403
assert status(None) == 403
assert status(None, HTTP_COOKIE=f"{settings.SESSION_COOKIE_NAME}=nonsense") == 403
assert status("staff", "/elsewhere") == 404
User.objects.filter(username="staff").update(is_active=False)
browser = Client()
assert not browser.login(username="staff", password="staff")
print("done")
"""
FORKED = """
import json, os, sys
from slipstream_actor import ClientActor, connect, dashboard
from tests.support.wsgi import Asker
class Client(ClientActor):
    def init(self):
        return connect("ws://test.invalid/socket/websocket", test_mode=True)
application = dashboard.app(lambda environ: True, events=True)
def labels():
    (process,) = Asker(application).ask("/report.json").json()["processes"]
    assert process["pid"] == os.getpid()
    return [client["name"] for client in process["report"]["clients"]], len(process["events"])
Client.start(name="parent's")
streams = [application._streams.open("1") for _ in range(8)]
assert labels() == (["parent's"], 0)
Client.start(name="another")
assert labels()[0] == ["parent's", "another"] and labels()[1] > 0
pid = os.fork()
if pid == 0:
    code = 1
    try:
        assert labels() == ([], 0)
        Client.start(name="child's")
        assert labels()[0] == ["child's"]
        # Those who watch the parent take nobody's place here.
        assert application._streams.open("1") is not None
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert labels()[0] == ["parent's", "another"]
for stream in streams:
    stream.close()
print("done")
"""

SERVED = """
import os, signal, sys
from slipstream_actor import dashboard

with dashboard.serve(here=True) as server:
    pid = os.fork()
    if pid == 0:
        signal.alarm(15)
if pid == 0:
    server.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
server.close()
print("done")
"""


def runs(program: str, *arguments: str) -> None:
    with Program(program, *arguments) as running:
        outcome = running.end()
    assert (outcome.code, outcome.output) == (0, "done\n"), outcome.errors


def test_django(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's `wsgi.py`."""
    pytest.importorskip("django")
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)  # Of tests of another room.
    blocks = {block.title: block.code for block in fences(GUIDE.read_text(encoding="utf-8"))}
    (tmp_path / "wsgi.py").write_text(blocks["wsgi.py"], encoding="utf-8")
    database = SETTINGS.replace("db.sqlite3", str(tmp_path / "db.sqlite3"))
    (tmp_path / "settings.py").write_text(database, encoding="utf-8")
    (tmp_path / "urls.py").write_text("urlpatterns = []\n", encoding="utf-8")
    runs(DJANGO, str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone")
def test_a_process_that_was_forked() -> None:
    runs(FORKED)


@pytest.mark.skipif(sys.platform != "linux", reason="forks are tried on Linux alone")
def test_a_forked_process_may_leave_the_block_too() -> None:
    runs(SERVED)


def test_a_wheel_has_the_pages_files() -> None:
    """`make wheel-test` compares all of it; here that none of them is left out of the list."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    patterns = setup["options.package_data"]["slipstream_actor"].split()
    for name, _ in FILES.values():
        path = f"dashboard/static/{name}"
        assert any(fnmatch(path, pattern) for pattern in patterns)
        assert (Path(dashboard.__file__).parent / "static" / name).is_file()
