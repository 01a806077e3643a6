"""Amazon S3's REST API over `machinery/objects`.

`app.py` is one request's whole life; `routes.py` lists what is really done; the other files do it.
"""

from longshore.onebox.services.s3.app import S3, Asked, WhyNot
from longshore.onebox.services.s3.routes import CHANGES

__all__ = ["CHANGES", "S3", "Asked", "WhyNot"]
