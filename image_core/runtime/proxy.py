"""Whether calls leave through a proxy. HTTP clients that are to look ask the system before each request, in a thread."""

from urllib.request import getproxies


def proxied() -> bool:
    """Whether the environment names any proxy: `HTTPS_PROXY` and the like, or the settings of macOS and Windows.

    Asked once for each client: two changes of thread for every request are more than the request itself costs. `NO_PROXY` is
    left to the client.
    """
    return any(scheme != "no" for scheme in getproxies())
