"""Clients that wait for their row while there can be none."""

import asyncio
import json
import time

import aiohttp
import psycopg

from . import scenario

WAITERS = 2_000
EACH_SECOND = 500  # so many of them come: those who are answered late were not late in the queue before
LATE_SECONDS = 1.5  # from the request to its confirm, and from the end of the N seconds to the answer


@scenario(51, "waiting-while-locked", alone=True)
def waiting_while_locked(run):
    """2,000 wait for their row while the table is locked: 202 after N seconds; plain accepts lose < 10 %."""
    locked_seconds, longest = (20, 10) if run.long else (12, 7)
    with run.load(rate=200, settle=60, plain=True):
        for number in range(3 if run.long else 1):
            name = f"{run.prefix}x{number}"
            run.until_accepted(600)
            before = accepted_in(run, locked_seconds)
            with psycopg.connect(run.system.env["POSTGRES_DSN"]) as holder:
                holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
                run.fault(f"LOCK TABLE orders for {locked_seconds} s, {WAITERS} orders wait for their row")
                answers, meanwhile = asyncio.run(wait_all(run, name, locked_seconds, longest))
            check_answers(run, answers)
            print(f"    {before} accepted before, {meanwhile} while {WAITERS} waited", flush=True)
            run.fast_enough(meanwhile / before, 0.9, "as many are accepted while others wait")
            run.recovered(60)
            ids = [answer["order_id"] for answer in answers]
            run.must_come(lambda ids=ids: run.stores.hold(ids), 60, "what was waited for is stored")
            answer = asyncio.run(ask_alone(run, f"{name}-unlocked", 10))
            run.check(answer["status"] == 201 and answer["applied"], f"with the table free: {answer}")


def accepted_in(run, seconds: float) -> int:
    before = run.accepted_so_far()
    time.sleep(seconds)
    return run.accepted_so_far() - before


async def wait_all(run, name: str, seconds: float, longest: int) -> tuple[list[dict], int]:
    """They come one after the other, and then wait all at once. Returns what they were answered, and how many
    others were accepted meanwhile."""
    before, started = run.accepted_so_far(), time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:
        asked = []
        for number in range(WAITERS):
            await asyncio.sleep(max(0.0, started + number / EACH_SECOND - time.monotonic()))
            wait = run.random.randint(longest - 2, longest)
            asked.append(asyncio.create_task(ask(session, run, f"{name}-wait {number}", wait)))
        answers = await asyncio.gather(*asked)
    await asyncio.sleep(max(0.0, started + seconds - time.monotonic()))
    took = time.monotonic() - started
    return answers, round((run.accepted_so_far() - before) * seconds / took)


async def ask(session: aiohttp.ClientSession, run, name: str, wait: int) -> dict:
    body = json.dumps({"product_name": name, "amount": 1})
    headers = {"Content-Type": "application/json", "Prefer": f"wait={wait}"}
    started = time.monotonic()
    async with session.post(f"{run.system.env['API_URL']}/api/orders", data=body, headers=headers) as answer:
        text = await answer.text()
        members = json.loads(text) if text.startswith("{") else {}
        return {
            "wait": wait,
            "seconds": time.monotonic() - started,
            "status": answer.status,
            "applied": answer.headers.get("Preference-Applied"),
            "order_id": members.get("order_id"),
        }


async def ask_alone(run, name: str, wait: int) -> dict:
    async with aiohttp.ClientSession() as session:
        return await ask(session, run, name, wait)


def check_answers(run, answers: list[dict]) -> None:
    wrong = [answer for answer in answers if answer["status"] != 202 or answer["applied"]]
    run.check(not wrong, f"{len(wrong)} waiters were not answered 202: {wrong[:3]}")
    early = [answer for answer in answers if answer["seconds"] < answer["wait"]]
    run.check(not early, f"{len(early)} waiters did not wait: {early[:3]}")
    late = max(answer["seconds"] - answer["wait"] for answer in answers)
    print(f"    the latest answer came {late:.2f} s after its N seconds", flush=True)
    run.in_time(late, LATE_SECONDS, "the latest answer after its N seconds")
