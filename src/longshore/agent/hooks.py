"""Runs the scripts of a lifecycle event (agent.md 5)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from longshore.agent.errors import Code, ScriptError
from longshore.agent.event_log import EventLog
from longshore.agent.script import Observer, ScriptRun
from longshore.agent.specification import Specification
from longshore.appspec import Script

#: The agent's own keys, what would load code into scripts (agent.md 10.19), and what its executable tells itself.
_SECRET = re.compile(
    r"AWS_(ACCESS_KEY(_ID)?|SECRET_(ACCESS_)?KEY|SESSION_TOKEN|SECURITY_TOKEN|CREDENTIAL_FILE|SHARED_CREDENTIALS_FILE"
    r"|CONTAINER_.*|WEB_IDENTITY_TOKEN_FILE)|LD_.*|PYTHON(HOME|PATH|STARTUP)|_PYI_.*|_MEIPASS2"
)


def run_event(
    event: str,
    scripts: tuple[Script, ...],
    archive: Path,
    environment: Mapping[str, str],
    log: EventLog,
    observer: Observer,
    *,
    grace: float,
) -> None:
    """Run the scripts in order; the first failure raises `ScriptError` with the log's tail."""
    log.add([f"LifecycleEvent - {event}".encode()])
    for script in scripts:
        log.add([f"Script - {script.location}".encode()])
        ScriptRun(script, _script_path(script, archive, log), environment, log, grace).run(observer)


def environment_of(specification: Specification, event: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables a script sees (agent.md 5.4), without the agent's own secrets, with the deployment's parameters."""
    variables = {name: value for name, value in inherited.items() if not _SECRET.fullmatch(name)}
    variables |= specification.parameters
    variables.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    variables |= {
        "LIFECYCLE_EVENT": event,
        "DEPLOYMENT_ID": specification.deployment_id,
        "APPLICATION_NAME": specification.application,
        "DEPLOYMENT_GROUP_NAME": specification.group_name,
        "DEPLOYMENT_GROUP_ID": specification.group_id,
    }
    revision = specification.revision
    if revision.kind == "S3":
        bundle = {
            "BUNDLE_BUCKET": revision.bucket,
            "BUNDLE_KEY": revision.key,
            "BUNDLE_VERSION": revision.version,
            "BUNDLE_ETAG": revision.etag,
        }
        variables |= {name: value for name, value in bundle.items() if value is not None}
    elif revision.commit:
        variables["BUNDLE_COMMIT"] = revision.commit
    return {name: value for name, value in variables.items() if "\0" not in value}


def _script_path(script: Script, archive: Path, log: EventLog) -> Path:
    """The script in the archive, executable (agent.md 5.1, 5.2)."""
    path = archive / script.location.lstrip("/")
    real, root = os.path.realpath(path), os.path.realpath(archive)
    if not real.startswith(root + "/"):
        raise ScriptError(
            f"the script {script.location} lies outside the revision; put it into the bundle",
            code=Code.SCRIPT_MISSING, script=script.location, log=log.tail(),
        )  # fmt: skip
    if not path.is_file():
        raise ScriptError(
            f"the script {script.location} is not in the revision (looked for {path})",
            code=Code.SCRIPT_MISSING, script=script.location, log=log.tail(),
        )  # fmt: skip
    mode = path.stat().st_mode
    if not mode & 0o111:
        try:
            path.chmod(mode & 0o777 | 0o111)
        except OSError as error:
            raise ScriptError(
                f"the script {path} is not executable and cannot be made so: {error.strerror}",
                code=Code.SCRIPT_NOT_EXECUTABLE, script=script.location, log=log.tail(),
            ) from None  # fmt: skip
    return path
