"""Jobs that race each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

END_WITHIN_S = 60


def run_together(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs on threads that begin together; re-raise what any of them raised."""
    barrier = threading.Barrier(len(jobs))
    errors: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            barrier.wait(10)
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(END_WITHIN_S)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)
