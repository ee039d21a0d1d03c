"""Evaluate `If-None-Match`, `Range` and `If-Range` (RFC 9110, 13 and 14).

The headers are parsed by werkzeug, which azure-functions loads in any case.
"""

from werkzeug.http import parse_etags, parse_range_header

from image_core.api.http import Request


def is_known(request: Request, etag: str) -> bool:
    """Return whether `If-None-Match` names `etag`, which is quoted: the answer is then 304."""
    known = parse_etags(request.headers.get("if-none-match"))
    return known.star_tag or known.contains_weak(etag.strip('"'))


def requested_range(request: Request, etag: str, size: int) -> range | None:
    """Return the positions of the requested bytes, empty where none of the `size` bytes are requested: then 416.

    None where all bytes are to be sent: without a usable `Range`, with several ranges, and where `If-Range` is not
    `etag`. It is compared as it is: a weak tag and a date never match (RFC 9110, 13.1.5).
    """
    if request.headers.get("if-range", etag) != etag:
        return None
    parsed = parse_range_header(request.headers.get("range"))
    if parsed is None or parsed.units != "bytes" or len(parsed.ranges) != 1:
        return None
    begin, end = parsed.ranges[0]
    if begin < 0:  # the last bytes; `Range.range_for_length` finds none where there are fewer than that
        return range(max(0, size + begin), size)
    return range(begin, size if end is None else min(end, size))
