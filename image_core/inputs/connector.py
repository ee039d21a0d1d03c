"""Connections whose answers have a bounded head. aiohttp bounds each line and the number of lines, and not what they are together."""

from functools import partial
from typing import Any

from aiohttp import ClientPayloadError, TCPConnector
from aiohttp.client_proto import ResponseHandler

MAX_HEAD_BYTES = 65_536
"""Of status line and headers, and of interim answers before them; what the last read brought beside them comes on top."""
MAX_HEADERS = 1000
INFORMATIONAL = range(100, 200)


class BoundedConnector(TCPConnector):
    """A TCPConnector whose connections are lost with ClientPayloadError where a head has more than MAX_HEAD_BYTES."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp has no public way to another protocol; this is what its own constructor sets.
        self._factory = partial(_BoundedHead, loop=self._loop)  # type: ignore[assignment] # of a subclass


class _BoundedHead(ResponseHandler):
    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self._reads_head = False
        self._head_bytes = 0

    def set_response_params(self, **params: Any) -> None:
        self._reads_head, self._head_bytes = True, 0
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A message with its head: aiohttp calls this for each."""
        message, _ = data
        self._reads_head = message.code in INFORMATIONAL
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._reads_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.set_exception(ClientPayloadError("the head of the answer is too large"))
                if self.transport is not None:
                    self.transport.abort()
