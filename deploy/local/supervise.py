"""Keeps the stack's processes alive: Supervisor, one for each home, told what to do over loopback XML-RPC.

It restarts what ended for whatever reason, without limit, and holds down what was stopped on purpose.
"""

import configparser
import http.client
import secrets
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.home import Home, LocalStackError

_USER = "certlane"
_PASSWORD_BYTES = 24
_RPC_SECONDS = 30.0
_STOP_SECONDS = 10

# No path of the home stands in here: supervisord and all it starts stand in the home, so there is nothing to quote.
# An internet socket, because the path of a Unix one may have 107 bytes only.
_CONF = """\
[supervisord]
logfile=log/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile=run/supervisord.pid
childlogdir=log
umask=077
[inet_http_server]
port=127.0.0.1:{port}
username={user}
password={password}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
# startsecs=0: whatever ends has run, so it is restarted at once and for ever and never given up as FATAL.
# Only the leader gets TERM, to end in its own order; KILL takes the group, so that nothing of it stays.
_PROGRAM = """\
[program:{name}]
command=/bin/sh run/{name}.sh
autostart=false
autorestart=true
startsecs=0
startretries=1000000
stopsignal=TERM
stopwaitsecs={stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile=log/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""
_SCRIPT = """\
#!/bin/sh
# exec keeps the process id, so the file always names the process that lives.
{exports}echo $$ > run/{name}.pid.tmp && mv run/{name}.pid.tmp run/{name}.pid || exit 1
exec {command}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A program to keep alive; it is started standing in the home, so its arguments may be relative to that."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How one process stands; `state` is Supervisor's word, in lower case, for example running or stopped."""

    name: str
    state: str
    pid: int | None


def spawn(home: Home, port: int, processes: Iterable[Process]) -> None:
    """Start the supervisor, detached from the terminal, with nothing running under it yet."""
    conf = home.run / "supervisord.conf"
    conf.touch(mode=0o600)
    text = _CONF.format(port=port, user=_USER, password=secrets.token_hex(_PASSWORD_BYTES))
    for process in processes:
        text += _PROGRAM.format(name=process.name, stop_seconds=_STOP_SECONDS)
        (home.run / f"{process.name}.sh").write_text(_script(process))
    conf.write_text(text)
    argv = [sys.executable, "-P", str(Path(__file__).with_name("keeper.py")), "-c", "run/supervisord.conf"]
    done = subprocess.run(
        argv,
        cwd=home.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_RPC_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LocalStackError(f"the supervisor did not start: {(done.stderr or done.stdout).strip()}")


def _script(process: Process) -> str:
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in process.environment.items())
    return _SCRIPT.format(name=process.name, exports=exports, command=shlex.join(process.argv))


class _Transport(xmlrpc.client.Transport):
    """xmlrpc.client waits for ever by itself; a hung supervisor must not hang `certlane down`."""

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = _RPC_SECONDS
        return connection


class Supervisor:
    """The running supervisor of one home; LocalStackError when there is none."""

    def __init__(self, home: Home) -> None:
        self._home = home
        conf = configparser.RawConfigParser()
        conf.read(home.run / "supervisord.conf")
        if "inet_http_server" not in conf:
            raise LocalStackError(f"no stack is up in {home.path}")
        server = conf["inet_http_server"]
        url = f"http://{server['username']}:{server['password']}@{server['port']}/RPC2"
        self._server = xmlrpc.client.ServerProxy(url, transport=_Transport())
        self._call("getState")

    def start(self, *names: str) -> None:
        """Start the processes, or leave them running."""
        for name in names:
            self._call("startProcess", name, False, but="ALREADY_STARTED")

    def stop(self, *names: str) -> None:
        """Stop the processes side by side (TERM, after 10 s KILL), wait for their end and keep them stopped."""
        deadline = time.monotonic() + _STOP_SECONDS + 5
        left = set(names)
        while left and time.monotonic() < deadline:
            # Again and again: a process that has just ended by itself refuses to be stopped, and is started anew.
            for name in left:
                self._call("stopProcess", name, False, but="NOT_RUNNING")
            time.sleep(0.05)
            left = {status.name for status in self.status() if status.state != "stopped"} & left
        if left:
            raise LocalStackError(f"still running: {', '.join(sorted(left))}")
        for name in names:
            (self._home.run / f"{name}.pid").unlink(missing_ok=True)

    def status(self) -> tuple[Status, ...]:
        """Return how every process stands."""
        rows = self._call("getAllProcessInfo")
        assert isinstance(rows, list)
        return tuple(Status(name=row["name"], state=row["statename"].lower(), pid=row["pid"] or None) for row in rows)

    def shutdown(self) -> None:
        """Ask the supervisor to stop what is left and to end; it ends a little later."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: str | bool, but: str = "") -> object:
        try:
            return getattr(self._server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if but and fault.faultString.startswith(but):
                return None
            raise LocalStackError(f"the supervisor refuses {method} {arguments}: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise LocalStackError(f"no stack is up in {self._home.path}") from error
        finally:
            self._server("close")()
