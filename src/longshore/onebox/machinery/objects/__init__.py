"""Objects in buckets, on this machine's disk.

An index in SQLite says what exists; content lies in files of random names that are written once and never
changed. `store.py` has the verbs, `values.py` the words, `content.py` the files, `index.py` the rows.
"""

from longshore.onebox.machinery.objects.content import Incoming
from longshore.onebox.machinery.objects.store import ObjectStore, Reading
from longshore.onebox.machinery.objects.values import (
    BucketExists,
    BucketNotEmpty,
    Description,
    InvalidPart,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NoSuchVersion,
    NotAnObject,
    StoredBucket,
    StoredChecksum,
    StoredObject,
    StoredPart,
    StoredUpload,
    StoreInUse,
    StoreRefusal,
    Versioning,
)

__all__ = [
    "BucketExists",
    "BucketNotEmpty",
    "Description",
    "Incoming",
    "InvalidPart",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotAnObject",
    "ObjectStore",
    "Reading",
    "StoreInUse",
    "StoreRefusal",
    "StoredBucket",
    "StoredChecksum",
    "StoredObject",
    "StoredPart",
    "StoredUpload",
    "Versioning",
]
