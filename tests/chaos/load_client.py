"""The load client: posts orders at a set rate and concurrency and keeps the ledger.

Every second order carries an Idempotency-Key; one whose fate is unknown is asked again under the same key
until it is known. Runs as a process of its own; SIGTERM ends it: it takes no new orders, asks once more for
the unknown ones, for at most --settle seconds, and leaves.
"""

import argparse
import asyncio
import json
import pathlib
import random
import signal
import time

import aiohttp

from ledger import NOT_SENT, Writer, is_definite_refusal

GOODS = [
    "Laptop",
    "Phone",
    "Keyboard",
    "Monitor",
    "Café table",
    "Ünïcode lamp",
    'Quoted "chair"',
    "Cable\\adapter",
]
REQUEST_SECONDS = 12.0
LONGEST_PAUSE_SECONDS = 0.5


class Client:
    def __init__(self, arguments: argparse.Namespace, session: aiohttp.ClientSession):
        self._arguments = arguments
        self._session = session
        self._ledger = Writer(arguments.ledger)
        self._random = random.Random(arguments.seed)
        self._urls = arguments.url
        self._stop = asyncio.Event()
        self._last_try_at: float | None = None

    def stop(self) -> None:
        self._last_try_at = time.monotonic() + self._arguments.settle
        self._stop.set()

    async def run(self) -> None:
        slots = asyncio.Semaphore(self._arguments.concurrency)
        started = time.monotonic()
        running: set[asyncio.Task] = set()
        number = 0
        while not self._stop.is_set() and (self._arguments.orders == 0 or number < self._arguments.orders):
            await slots.acquire()
            due = started + number / self._arguments.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # Orders that could not be sent in time are not made up for: the rate is a limit.
            started = max(started, time.monotonic() - number / self._arguments.rate - 1.0)
            task = asyncio.create_task(self._order(number))
            running.add(task)
            task.add_done_callback(lambda done: (running.discard(done), slots.release()))
            number += 1
        if self._last_try_at is None:
            self.stop()
        await asyncio.gather(*running)

    async def _order(self, number: int) -> None:
        name = f"{self._arguments.prefix}-{number:07d} {GOODS[number % len(GOODS)]}"
        amount = f"{self._random.randint(1, 500_000) / 100:.2f}"
        key = None if self._arguments.plain or number % 2 == 0 else f"{self._arguments.prefix}-key-{number}"
        pause = 0.1
        while await self._post(name, amount, key) and key is not None:
            if self._last_try_at is not None and time.monotonic() > self._last_try_at:
                return
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _post(self, name: str, amount: str, key: str | None) -> bool:
        """One attempt. Returns whether it is to be asked again: nobody said what became of it."""
        body = f'{{"product_name":{json.dumps(name)},"amount":{amount}}}'
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        self._ledger.asked(name, amount, key)
        asked = time.monotonic()
        status, order_id, code = None, None, None
        try:
            url = self._urls[self._random.randrange(len(self._urls))]
            async with self._session.post(f"{url}/api/orders", data=body.encode(), headers=headers) as answer:
                text = await answer.text()
                status = answer.status
                members = json.loads(text) if text.startswith("{") else {}
                order_id, code = members.get("order_id"), members.get("code")
        except aiohttp.ClientConnectorError:
            code = NOT_SENT
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            status, code = None, type(error).__name__
        self._ledger.answered(name, status, order_id, code, time.monotonic() - asked)
        return status is None or (status != 202 and not is_definite_refusal(status, code))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", action="append", required=True, help="a gateway; may be given several times")
    parser.add_argument("--ledger", type=pathlib.Path, required=True)
    parser.add_argument("--prefix", required=True, help="begins every product name of this run")
    parser.add_argument("--rate", type=float, required=True, help="orders per second at most")
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--orders", type=int, required=True, help="end by itself after so many (0: never)")
    parser.add_argument("--settle", type=float, required=True, help="seconds for the unknown ones at the end")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--plain", action="store_true", help="no order carries a key")
    arguments = parser.parse_args()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    ) as session:
        client = Client(arguments, session)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, client.stop)
        await client.run()


if __name__ == "__main__":
    asyncio.run(main())
