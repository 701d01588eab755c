import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.prediction.stages import WorkBehind, batches, map_ahead


def _threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("rsseg-")}


@given(st.lists(st.integers()), st.integers(1, 4), st.integers(1, 6))
def test_results_come_in_the_order_of_the_items(items: list[int], threads: int, depth: int) -> None:
    assert list(map_ahead(lambda n: n * 2, items, threads=threads, depth=depth)) == [n * 2 for n in items]


def test_work_runs_no_further_ahead_than_the_depth() -> None:
    started: list[int] = []
    results = map_ahead(lambda n: started.append(n) or n, range(100), threads=2, depth=3)

    taken = [next(results) for _ in range(10)]
    results.close()

    assert taken == list(range(10))
    assert max(started) <= 10 + 3


def test_an_error_of_a_reader_is_raised_and_all_threads_end() -> None:
    def fail_at_five(n: int) -> int:
        if n == 5:
            raise OSError("five")
        return n

    results = map_ahead(fail_at_five, range(100), threads=2, depth=4)

    with pytest.raises(OSError, match="five"):
        list(results)
    assert _threads() == set()


def test_an_abandoned_reader_ends_its_threads() -> None:
    results = map_ahead(lambda n: n, range(100), threads=2, depth=4)
    next(results)

    results.close()

    assert _threads() == set()


def test_work_behind_is_done_in_order_and_finished_at_the_end() -> None:
    done: list[int] = []

    with WorkBehind(done.append, depth=2) as behind:
        for n in range(50):
            behind.put(n)

    assert done == list(range(50))
    assert _threads() == set()


@pytest.mark.parametrize("items", [1, 50])
def test_an_error_behind_is_raised_by_a_put_or_at_the_end(items: int) -> None:
    def fail(_n: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), WorkBehind(fail, depth=2) as behind:
        for n in range(items):
            behind.put(n)
    assert _threads() == set()


def test_an_error_ahead_drops_what_is_not_yet_begun() -> None:
    done: list[int] = []
    gate = threading.Event()

    def wait_then_note(n: int) -> None:
        gate.wait(timeout=10)
        done.append(n)

    def interrupt_with_work_waiting() -> None:
        with WorkBehind(wait_then_note, depth=50) as behind:
            for n in range(40):
                behind.put(n)
            threading.Timer(0.2, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt_with_work_waiting()

    assert done == [0]
    assert _threads() == set()


def test_putting_waits_for_work_that_is_too_far_behind() -> None:
    gate = threading.Event()
    put: list[int] = []

    def feed() -> None:
        with WorkBehind(lambda _n: gate.wait(timeout=10), depth=3) as behind:
            for n in range(20):
                behind.put(n)
                put.append(n)

    feeder = threading.Thread(target=feed)
    feeder.start()
    feeder.join(timeout=0.3)
    before = len(put)
    gate.set()
    feeder.join(timeout=10)

    assert before == 3
    assert len(put) == 20


@given(st.lists(st.integers()), st.integers(1, 7))
def test_batches_hold_all_items_in_order(items: list[int], size: int) -> None:
    grouped = list(batches(items, size=size))

    assert [n for batch in grouped for n in batch] == items
    assert all(len(batch) == size for batch in grouped[:-1])
