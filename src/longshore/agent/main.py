"""`longshore agent …`: reads the configuration, takes the host's lock, runs the poller."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from longshore.agent import config as configuration
from longshore.agent.config import Config
from longshore.agent.errors import AgentError, ConfigError
from longshore.agent.journal import Journal
from longshore.agent.layout import Layout
from longshore.agent.log import Log
from longshore.agent.poller import Poller, name_process

EXIT_FAILED = 1
EXIT_UNUSABLE = 2


def run(argv: Sequence[str]) -> int:
    """The command line; returns the exit code: 0 done, 1 failed, 2 used or configured wrongly."""
    try:
        # The command every unit file has; argparse would be a megabyte of the idle poller.
        if len(argv) == 3 and tuple(argv[:2]) == ("run", "--config"):
            return run_agent(configuration.load(Path(argv[2]), os.environ))
        from longshore.agent import command_line

        return command_line.run(argv)
    except SystemExit as ended:
        return int(ended.code or 0)
    except ConfigError as error:
        sys.stderr.write(f"longshore agent: {error}\n")
        return EXIT_UNUSABLE
    except AgentError as error:
        sys.stderr.write(f"longshore agent: {error}\n")
        return EXIT_FAILED


def run_agent(config: Config) -> int:
    """Take and carry out commands until stopped; the exit code."""
    become(config)
    layout = Layout(root=config.root_dir, tracking=config.ongoing_deployment_tracking)
    journal = Journal(layout)
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
        lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        journal.prepare()
        for directory in (config.log_dir, config.pid_dir):
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot use {error.filename or layout.root}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AgentError(f"another agent is running on {layout.root}; stop it first") from None
    name_process("longshore-agent")
    pid_file = config.pid_dir / f"{config.program_name}.pid" if config.pid_dir else None
    if pid_file is not None:
        pid_file.write_text(f"{os.getpid()}\n")
    log = Log(config.log_dir, config.program_name, verbose=config.verbose)
    if config.unknown_keys:
        log.warn(f"agent.unknown_keys of the configuration, ignored: {', '.join(config.unknown_keys)}")
    try:
        return Poller(config, layout, log, host_lock=lock).run()
    finally:
        if pid_file is not None:
            with suppress(OSError):
                pid_file.unlink()
        os.close(lock)


def become(config: Config) -> None:
    """Be who the configuration says, with no core dumps; raises ConfigError."""
    if config.disable_core_dumps:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if config.user is None and config.group is None:
        return
    import grp
    import pwd

    try:
        user = pwd.getpwnam(config.user) if config.user else None
        group = grp.getgrnam(config.group).gr_gid if config.group else user.pw_gid if user else os.getgid()
        if (user is None or user.pw_uid == os.geteuid()) and group == os.getegid():
            return
        if user is not None:
            os.initgroups(user.pw_name, group)
        os.setgid(group)
        if user is not None:
            os.setuid(user.pw_uid)
            os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    except KeyError as missing:
        raise ConfigError(f"the configuration's user or group is not on this host: {missing.args[0]}") from None
    except PermissionError:
        raise ConfigError("only root can become the configuration's user and group: start the agent as root") from None
