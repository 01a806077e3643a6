"""What can go wrong with a database.

DatabaseError
├── DatabaseUrlError       no database that we know is at this URL
├── UnfitDatabaseError     it cannot hold what it would have to
├── NewerSchemaError       a newer Longshore has written it
├── StoreUnavailableError  it is out of reach for now
└── StoreClosedError       we have closed it: the server is stopping
"""

from __future__ import annotations


class DatabaseError(Exception):
    """The message says what to change."""


class DatabaseUrlError(DatabaseError):
    """No database that Longshore knows is at this URL."""


class UnfitDatabaseError(DatabaseError):
    """The database cannot hold what it would have to."""


class NewerSchemaError(DatabaseError):
    """The database was written by a newer Longshore; nothing was changed."""


class StoreUnavailableError(DatabaseError):
    """The database is out of reach for now.

    What was asked for may be asked again. Whether a write was made is known of all but those whose commit got no
    answer, and whose database did not come back soon.
    """


class StoreClosedError(DatabaseError):
    """The server is stopping; nothing was written."""
