"""Find out once whether outgoing calls use a proxy, because HTTP clients ask the system before each request."""

from urllib.request import getproxies


def proxied() -> bool:
    """Return whether the environment names any proxy: `HTTPS_PROXY` and the like, or the settings of macOS and Windows.

    Called once for each client: two thread switches for every request cost more than the request itself. `NO_PROXY` is
    left to the client.
    """
    return any(scheme != "no" for scheme in getproxies())
