"""Outages and lost acknowledgements that are injected into the calls of a fake service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from image_core.errors import ContainerMissing, StorageUnavailable

T = TypeVar("T")


class Effect(Enum):
    """The effect of a fault on a call."""

    APPLIED = "it is applied as if there were no fault"
    REFUSED = "it is not applied, and raises StorageUnavailable"
    LOST = "it is applied, and raises StorageUnavailable: its acknowledgement was lost"
    REPEATED = "it is applied twice: the client repeats it, because the acknowledgement was lost"
    CONTAINER_MISSING = "it raises ContainerMissing"


@dataclass(slots=True)
class Fault:
    """Affects the next `times` calls of the method `operation` whose document id or blob name contains `name`.

    Empty strings match everything. `before` is awaited first, for example to change what is stored.
    """

    effect: Effect
    operation: str = ""
    name: str = ""
    times: int = 1
    before: Callable[[], Awaitable[object]] | None = None
    hits: int = 0

    def matches(self, operation: str, name: str) -> bool:
        """Return whether the fault affects a call."""
        return self.hits < self.times and self.operation in {"", operation} and self.name in name


class Faults:
    """The calls of one fake service, and the faults that are injected into them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        """(method, document id or blob name) of each call, oldest first."""
        self.unreachable = False
        """Whether every call fails with StorageUnavailable."""
        self._faults: list[Fault] = []

    def add(self, effect: Effect, operation: str = "", name: str = "", times: int = 1) -> Fault:
        """Inject a fault, after those that exist."""
        fault = Fault(effect, operation, name, times)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """End all faults."""
        self.unreachable = False
        self._faults.clear()

    async def call(self, operation: str, name: str, apply: Callable[[], T]) -> T:
        """Run one call of the service. As with a call over a network, other tasks run first."""
        await asyncio.sleep(0)
        self.calls.append((operation, name))
        if self.unreachable:
            raise StorageUnavailable
        fault = next((fault for fault in self._faults if fault.matches(operation, name)), None)
        if fault is None:
            return apply()
        fault.hits += 1
        if fault.before is not None:
            await fault.before()
        match fault.effect:
            case Effect.REFUSED:
                raise StorageUnavailable
            case Effect.CONTAINER_MISSING:
                raise ContainerMissing
            case Effect.LOST:
                apply()
                raise StorageUnavailable
            case Effect.REPEATED:
                apply()
        return apply()


class FakeNetwork:
    """The network between a caller and a fake service, for the contract tests. `lost` is the effect of a loss."""

    def __init__(self, faults: Faults, lost: Effect) -> None:
        self._faults = faults
        self._lost = lost

    def lose_acknowledgement(self) -> None:
        """Apply the next call, and lose its answer."""
        self._faults.add(self._lost)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Fail every call."""
        self._faults.unreachable = True
        yield
        self._faults.clear()

    @asynccontextmanager
    async def missing_container(self) -> AsyncIterator[None]:
        """Fail every call as if the container did not exist."""
        self._faults.add(Effect.CONTAINER_MISSING, times=1000)
        yield
        self._faults.clear()
