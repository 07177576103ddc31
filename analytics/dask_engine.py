"""Dask's workers as an engine: a cluster of machines, or some processes of this one.

A part waits at the scheduler until its rows are here, so that another worker takes it when one dies.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from multiprocessing import current_process
from typing import TYPE_CHECKING, Any

import dask

# What the client has to say in its log is told as errors, or mended by itself; a part of its size is meant to be sent.
dask.config.set({"logging.distributed": "critical", "distributed.admin.large-graph-warning-threshold": "4GiB"})

from distributed import Client, Future, KilledWorker, LocalCluster, Security, wait  # noqa: E402 (it reads that setting)

from analytics.engine import LOCAL, Given, Key, Made  # noqa: E402
from analytics.errors import EngineError, InputError  # noqa: E402
from sql.errors import StoreError  # noqa: E402

if TYPE_CHECKING:
    from sql.lake_address import LakeAddress

CONNECT_SECONDS = 10
"""How long a scheduler may take to answer, and then to have a worker."""

WORKERLESS_SECONDS = 60.0
"""How long a cluster may be without any worker in the middle of a report."""

PARTS_OF_A_THREAD = 2
"""Parts in flight for each thread of a worker: one that it works on, and one that waits for it."""

BYTES_IN_FLIGHT = 2**30
"""Bytes of spans in flight, however many workers there are: the scheduler keeps a part until its rows are here."""

_PACKAGES = ("spanverdict", "polars", "pyarrow", "numpy", "genai-prices")


class DaskEngine:
    """Dask's workers.

    Args:
        client: the connection to their scheduler.
        address: what people call it.
        reads: the store that workers open themselves; None: they are sent spans.
    """

    def __init__(self, client: Client, address: str, reads: LakeAddress | None) -> None:
        self.reads = reads
        self._client = client
        self._address = address

    def check(self) -> None:
        """See that there is a worker, and that all of them have what this process has.

        Raises:
            EngineError: there is none, or one has not.
        """
        with _told(self._address):
            try:
                self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
            except TimeoutError as error:
                raise EngineError(f"{self._address} has no workers; start one with `dask worker`.") from error
            found = self._client.run(_version_teller(), _PACKAGES)
        for worker, theirs in found.items():
            _compare(worker, theirs, versions())

    def map(self, make: Callable[[Given], Made], parts: Iterable[tuple[Key, Given]]) -> Iterator[tuple[Key, Made]]:
        """What is made of each part, in their order.

        Raises:
            EngineError: the engine failed.
        """
        waiting: deque[tuple[Key, Future, int]] = deque()
        in_flight = 0
        run = _runner()
        for key, given in parts:
            # As bytes: the scheduler, which looks into what it is sent, needs none of our packages then.
            work = pickle.dumps((make, given), protocol=pickle.HIGHEST_PROTOCOL)
            size = len(work)
            while waiting and (len(waiting) >= self._room() or in_flight + size > BYTES_IN_FLIGHT):
                done, future, freed = waiting.popleft()
                yield done, self._result(future)
                in_flight -= freed
            with _told(self._address):
                # With a key of its own: a part is made once, and to hash one would take as long as to send it.
                future = self._client.submit(run, versions(), work, pure=False)
            waiting.append((key, future, size))
            in_flight += size
        while waiting:
            done, future, _ = waiting.popleft()
            yield done, self._result(future)

    def _room(self) -> int:
        return PARTS_OF_A_THREAD * max(1, self._threads())

    def _threads(self) -> int:
        with _told(self._address):
            return sum(self._client.nthreads().values())

    def _result(self, future: Future) -> Any:  # noqa: ANN401 (what the task makes)
        while not future.done():
            try:
                with self._client.as_current():
                    wait(future, timeout=WORKERLESS_SECONDS)
            except TimeoutError:
                if not self._threads():
                    raise EngineError(
                        f"{self._address} has had no workers for {WORKERLESS_SECONDS:g} s; start one and run the "
                        "report again."
                    ) from None
            except CancelledError:
                break
        with _told(self._address):
            return future.result()


@contextmanager
def dask_engine(address: str, reads: LakeAddress | None) -> Iterator[DaskEngine]:
    """Connect to a cluster, or start one of this machine's for the time being.

    Args:
        address: as :func:`analytics.engine.check_engine` takes it.
        reads: the store that workers open themselves; None: they are sent spans.

    Raises:
        EngineError: it cannot be reached, or its workers are not like this process.
    """
    with _client(address) as client:
        engine = DaskEngine(client, address, reads)
        engine.check()
        yield engine


@contextmanager
def _client(address: str) -> Iterator[Client]:
    if address != LOCAL:
        if address.startswith("dask+tls://") and not dask.config.get("distributed.comm.tls.client.cert", None):
            raise EngineError(
                f"{address} needs a certificate: name it in DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT, its key in "
                "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY and the authority in DASK_DISTRIBUTED__COMM__TLS__CA_FILE."
            )
        scheduler = address.replace("dask+tls://", "tls://").replace("dask://", "tcp://")
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise EngineError(f"{address} cannot be reached: {_first_line(error)}.") from error
        with client:
            yield client
        return
    if current_process().daemon:
        raise EngineError(
            f"{LOCAL} is for `spanverdict report` by hand; a scheduled report needs a cluster, dask://HOST:PORT."
        )
    cores = len(os.sched_getaffinity(0))
    # Whoever reaches a scheduler has it run code: without certificates that were any user of the machine.
    security = Security.temporary()
    with (
        LocalCluster(
            n_workers=cores,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            security=security,
            protocol="tls://",
            # Each has a core, not all of them.
            env={"POLARS_MAX_THREADS": "1", "DASK_LOGGING__DISTRIBUTED": "critical"},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@cache
def versions() -> Mapping[str, str]:
    """What rows depend on, of this process: the version of Python and of packages."""
    told: Mapping[str, str] = _version_teller()(_PACKAGES)
    return told


def _version_teller() -> Callable[[Iterable[str]], dict[str, str]]:
    def tell(packages: Iterable[str]) -> dict[str, str]:
        """Sent as its code, not by its name: a worker may lack this package."""
        found = {"Python": ".".join(platform.python_version_tuple()[:2])}
        for package in packages:
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                found[package] = ""
        return found

    return tell


def _compare(worker: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    different = [name for name in ours if theirs[name] != ours[name]]
    if not different:
        return
    told = ", ".join(
        f"{name} {theirs[name]} instead of {ours[name]}" if theirs[name] else f"no {name} (here {ours[name]})"
        for name in different
    )
    raise EngineError(f"The worker {worker} has {told}; install the same versions on all machines.")


def _runner() -> Callable[[Mapping[str, str], bytes], object]:
    def run_in_worker(theirs: Mapping[str, str], work: bytes) -> object:
        """Sent as its code, as above."""
        from analytics.dask_engine import made  # noqa: PLC0415 (where it runs)

        return made(theirs, work)

    return run_in_worker


def made(asked: Mapping[str, str], work: bytes) -> object:
    """What a worker makes, if it is like the process that asks: it may have come after that looked.

    Args:
        asked: the :func:`versions` of that process.
        work: the function and its argument, pickled by that process.

    Raises:
        EngineError: it is not.
    """
    _compare(platform.node(), versions(), asked)
    # Whoever may send work to a worker may have it run anything; docs/engines.md says who should be able to.
    make, given = pickle.loads(work)  # noqa: S301
    return make(given)


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What goes wrong in the cluster as one sentence; what went wrong in a worker's work as it was told there."""
    try:
        yield
    except (EngineError, InputError, StoreError):
        raise
    except KilledWorker as error:
        raise EngineError(
            f"Each of {error.allowed_failures + 1} workers of {address} died at the same part of the report, the last "
            f"was {error.last_worker.address}; see its log, and give workers more memory."
        ) from error
    except CancelledError as error:
        raise EngineError(f"{address} was lost in the middle of the report; run it again.") from error
    except ImportError as error:
        raise EngineError(
            f"A worker of {address} lacks the module {error.name}; install the same versions on all machines."
        ) from error
    except OSError as error:
        raise EngineError(f"{address} does not answer: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
