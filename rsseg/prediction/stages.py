"""Threads of the pipeline: work done ahead of need and work done behind it, both bounded and both in order.

Errors of a thread are raised where its result is taken, so the first one ends the run; on the way out everything
not yet started is cancelled and every thread is joined. Nothing hangs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Generic, Self, TypeVar

from rsseg.errors import ResourceError

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(work: Callable[[T], R], items: Iterable[T], *, threads: int, depth: int) -> Generator[R]:
    """Do `work` on items in threads, at most `depth` of them ahead of the consumer; results keep the order.

    Close the iterator (or let it run out) to end the threads.

    Raises:
        ResourceError: the system allows no further thread.
    """
    remaining = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="rsseg-read")
    try:
        pending = deque(_submit(pool, work, item) for item in islice(remaining, depth))
        while pending:
            result = pending.popleft().result()
            pending.extend(_submit(pool, work, item) for item in islice(remaining, 1))
            yield result
    finally:
        _end(pool, drop=True)


class WorkBehind(Generic[T]):
    """Does work on items in one thread, in the order in which they are put, at most `depth` of them behind.

    Leaving the `with` block waits for all of it, unless an error is on its way: then the rest is dropped.
    """

    def __init__(self, work: Callable[[T], None], *, depth: int) -> None:
        self._work = work
        self._depth = depth
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rsseg-write")
        self._pending: deque[Future[None]] = deque()

    def put(self, item: T) -> None:
        """Hand over one item; waits while `depth` are in work, and raises what an earlier one raised."""
        while len(self._pending) >= self._depth or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.append(_submit(self._pool, self._work, item))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._pool, drop=kind is not None)
        if kind is None:
            for future in self._pending:
                future.result()


def _submit(pool: ThreadPoolExecutor, work: Callable[[T], R], item: T) -> Future[R]:
    try:
        return pool.submit(work, item)
    except RuntimeError as err:  # Python has no class of its own for this
        if "can't start new thread" not in str(err):
            raise
        raise ResourceError(
            "the system allows no further thread", hint="raise its limit on processes, such as ulimit -u"
        ) from err


def _end(pool: ThreadPoolExecutor, *, drop: bool) -> None:
    """Join the threads, also when an interrupt comes while they are waited for; `drop` what has not begun."""
    try:
        pool.shutdown(wait=True, cancel_futures=drop)
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise


def batches(items: Iterable[T], *, size: int) -> Iterator[list[T]]:
    """Group items in lists of `size`; the last may be shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
