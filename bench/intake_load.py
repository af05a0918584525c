"""A load generator for `bench.intake`: connections that each send the same request again as soon as it is answered, or at a pace.

A process of its own, so that its share of the machine is counted apart: `python -m bench.intake_load` prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import time
from collections import Counter
from pathlib import Path
from typing import cast

NUMBER = b"@@@@@@@@@@@@"
"""Stands in a request for a number of twelve digits that is another one each time."""


class Client(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, notes how long it took since the moment it was due."""

    def __init__(self, request: bytes, interval: float, start: float, until: float, measured_from: float) -> None:
        self.request = request
        self.numbered = NUMBER in request
        self.interval = interval
        self.due = start
        self.until = until
        self.measured_from = measured_from
        self.latencies: list[float] = []
        self.statuses: Counter[bytes] = Counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, when the first request is due."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour alone
        asyncio.get_running_loop().call_later(max(0.0, self.due - time.perf_counter()), self.send)

    def send(self) -> None:
        """Send the next request, if there is time left."""
        assert self.transport is not None
        if time.perf_counter() >= self.until:
            self.transport.close()
            return
        if not self.interval:
            self.due = time.perf_counter()
        self.transport.write(self.request.replace(NUMBER, b"%012d" % next(_numbers)) if self.numbered else self.request)

    def data_received(self, data: bytes) -> None:
        """Wait for the end of the answer, then go on."""
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        moment = time.perf_counter()
        if moment >= self.measured_from:
            self.latencies.append(moment - self.due)
            self.statuses[head[9:12]] += 1
        if not self.interval:
            self.send()
            return
        self.due += self.interval
        wait = self.due - moment
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self.send)
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        """The end of this client."""
        if not self.done.done():
            self.done.set_result(None)


_numbers = itertools.count(1)


async def load(port: int, request: bytes, *, connections: int, rate: float, warm: float, seconds: float) -> dict[str, float | dict[str, int]]:
    """Send for `warm + seconds`; gives requests a second, latencies in ms and CPU of this process, of the measured part."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter() + 0.2
    measured_from, until = start + warm, start + warm + seconds
    interval = connections / rate if rate else 0.0
    clients = [Client(request, interval, start + (number / rate if rate else 0.0), until, measured_from) for number in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.sleep(max(0.0, measured_from - time.perf_counter()))
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.wait_for(asyncio.gather(*(client.done for client in clients)), warm + seconds + 60)
    after = resource.getrusage(resource.RUSAGE_SELF)
    latencies = sorted(value for client in clients for value in client.latencies)
    statuses: Counter[str] = Counter()
    for client in clients:
        statuses.update({status.decode(): count for status, count in client.statuses.items()})
    quantile = lambda share: 1_000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]  # noqa: E731
    cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds
    return {"per_second": len(latencies) / seconds, "p50": quantile(0.5), "p99": quantile(0.99), "most": 1_000 * latencies[-1], "cores": cpu, "statuses": dict(statuses)}


def main() -> None:
    """Send a request that is in a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0, help="Requests a second; 0: as fast as they are answered.")
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    import uvloop

    found = uvloop.run(load(given.port, given.request.read_bytes(), connections=given.connections, rate=given.rate, warm=given.warm, seconds=given.seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
