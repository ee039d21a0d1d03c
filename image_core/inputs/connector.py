"""An aiohttp connector whose connections limit the size of a response's head.

aiohttp limits each header and their number, which still allows a head of many megabytes.
"""

from functools import partial
from typing import Any

from aiohttp import ClientPayloadError, TCPConnector
from aiohttp.client_proto import ResponseHandler

MAX_HEAD_BYTES = 65_536
"""Maximum size of status line and headers, interim responses included. The last read may add its surplus."""
MAX_HEADERS = 1000
INFORMATIONAL = range(100, 200)


class BoundedConnector(TCPConnector):
    """A TCPConnector that aborts a connection, with ClientPayloadError, whose head has more than MAX_HEAD_BYTES."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp has no public parameter for the protocol; its own constructor sets this attribute.
        self._factory = partial(_BoundedHead, loop=self._loop)  # type: ignore[assignment] # a subclass of ResponseHandler


class _BoundedHead(ResponseHandler):
    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self._reads_head = False
        self._head_bytes = 0

    def set_response_params(self, **params: Any) -> None:
        self._reads_head, self._head_bytes = True, 0
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Receive a response with its head; aiohttp calls this for each, interim ones included."""
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
