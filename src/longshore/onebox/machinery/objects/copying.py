"""What a copy of an object store consists of, so that it can be made while the store is used.

Content files never change, so a copy of the index and the files that it names are a whole store. A file may be gone by
the time it is to be copied, when its object was deleted meanwhile: then a newer copy of the index does not name it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

INDEX = "index.sqlite3"
CONTENT = "content"


def content_named_in(index: Path) -> dict[str, int]:
    """The content files that a copy of an index needs, as paths below the store's root, and their sizes."""
    with contextlib.closing(sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True)) as rows:
        return {
            f"{CONTENT}/{name[:2]}/{name}": size
            for name, size in rows.execute("SELECT content, size FROM pieces ORDER BY content")
        }
