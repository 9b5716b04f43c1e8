"""Wait for a fact, never for a time: polls, and on failure says what it last saw."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    read: Callable[[], Awaitable[T]],
    accept: Callable[[T], object] = ...,
    within: float = ...,
    every: float = ...,
) -> T: ...


@overload
async def eventually(
    read: Callable[[], T],
    accept: Callable[[T], object] = ...,
    within: float = ...,
    every: float = ...,
) -> T: ...


async def eventually(
    read: Callable[[], T | Awaitable[T]],
    accept: Callable[[T], object] = bool,
    within: float = 15.0,
    every: float = 0.02,
) -> T:
    """The first value that `accept` takes; AssertionError with the last one seen otherwise."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        value = read()
        seen: T = await value if inspect.isawaitable(value) else value
        if accept(seen):
            return seen
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within} s; last seen: {seen!r}")
        await asyncio.sleep(every)
