"""Ask the official agent's parser about every case, and write down what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode

from tests.unit.appspec.official import FOLDER, cases


def main() -> None:
    """Arguments: the Ruby to use, and where the official agent's source lies."""
    ruby, source = sys.argv[1:]
    known = list(cases())
    asked = [json.dumps({"host": case.host, "text": b64encode(case.text).decode()}) for case in known]
    command = [ruby, str(FOLDER / "official.rb"), source]
    said = subprocess.run(command, input="\n".join(asked) + "\n", capture_output=True, text=True, check=True)
    # A line a case, so that a change shows as one.
    lines = [f"{json.dumps(case.name)}: {line}" for case, line in zip(known, said.stdout.splitlines(), strict=True)]
    (FOLDER / "verdicts.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
