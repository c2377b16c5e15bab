"""The authorities that this machine trusts, for every connection that a node opens."""

from functools import cache
from ssl import SSLContext

import httpx2


@cache
def authorities() -> SSLContext:
    """Read once a process, for it takes 40 ms: a worker asks the next node each second."""
    return httpx2.create_ssl_context(trust_env=False)
