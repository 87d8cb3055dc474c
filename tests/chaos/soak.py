"""A long run with random faults, several at once, by a schedule that its seed replays.

Kills processes of all services and servers (kill -9), sometimes two at once, and meanwhile freezes them,
breaks links, raises alarms, locks tables, ends sessions. Beside the orders come messages that must become
dead letters, so there is always something to archive. Prints each fault and every 30 s how it stands; the
verdict at the end is the one of ./dev test chaos, and no dead letter may be missing.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import sys
import time

import psycopg

from memory import memory_line, memory_problems
from poison import Poison, publish_confirmed
from proxy import Mode
from run import Run
from scenarios.postgres import TERMINATE_OTHERS
from stand import SERVERS, SERVICES, Stand

SCALE = {"persister": 2, "indexer": 2}
REPLICAS = [f"{service}-{i + 1}" for service in SERVICES for i in range(SCALE.get(service, 1))]
KILLS_PER_MINUTE = 12
OTHERS_PER_MINUTE = 5
LATE_SECONDS = 60
POISON_EACH_SECOND = 10
QUIET_SECONDS = 20  # at the end of the schedule: what was fired last has to hit something


@dataclasses.dataclass(frozen=True)
class Fault:
    at: float  # seconds from the start
    kind: str
    target: str
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:7.1f} s  {self.kind} {self.target}{lasting}"


def schedule(seed: int, minutes: float) -> list[Fault]:
    """The faults of a seed, in order of time."""
    dice = random.Random(seed)
    end = minutes * 60 - QUIET_SECONDS
    faults = []
    at = 5.0
    while at < end:
        # Services die more often than servers; every fifth time two processes die at once.
        for _ in range(2 if dice.random() < 0.2 else 1):
            target = dice.choice(list(SERVERS)) if dice.random() < 0.2 else dice.choice(REPLICAS)
            faults.append(Fault(at, "kill -9", target))
        at += dice.expovariate(KILLS_PER_MINUTE / 60)
    at = 10.0
    while at < end:
        kind = dice.choice(
            ["freeze", "freeze", "link", "link", "alarm", "sessions", "lock", "block", "pause"]
        )
        target = {
            "freeze": dice.choice(REPLICAS + list(SERVERS)),
            "link": f"{dice.choice(list(SERVERS))} {dice.choice([mode.value for mode in Mode][1:])}",
            "alarm": "rabbitmq",
            "sessions": "postgres",
            "lock": "postgres",
            "block": "elasticsearch",
            "pause": "redis",
        }[kind]
        faults.append(Fault(at, kind, target, 0.0 if kind == "sessions" else round(dice.uniform(1, 12), 1)))
        at += dice.expovariate(OTHERS_PER_MINUTE / 60)
    return sorted(faults, key=lambda fault: fault.at)


class Soak:
    def __init__(self, run: Run):
        self.run = run
        self.stand = run.stand
        self.fired: collections.Counter[tuple[str, str]] = collections.Counter()
        self.poison = Poison(run.prefix, run.random)
        self.poisoned: set[str] = set()  # tokens of messages that RabbitMQ has confirmed

    def fire(self, fault: Fault) -> None:
        """Lets one fault happen, and lasts as long as it."""
        fire = {
            "kill -9": self._kill,
            "freeze": self._freeze,
            "link": self._link,
            "alarm": self._alarm,
            "sessions": self._sessions,
            "lock": self._lock,
            "block": self._block,
            "pause": self._pause,
        }[fault.kind]
        try:
            fire(fault)
        except Exception as error:  # its target is down from another fault: then this one does not count
            print(f"    not fired: {fault} ({type(error).__name__})", flush=True)

    def send_poison(self) -> None:
        """One second's worth; from one thread at a time."""
        env, messages = self.run.system.env, self.poison.make(POISON_EACH_SECOND)
        confirmed = publish_confirmed(env["RABBITMQ_URL"], self.run.stores.queue, messages)
        self.poisoned |= {message.token for message in confirmed if message.reason}

    def check_poison(self) -> None:
        """Each is a dead letter, in the queue or in the archive, at least once."""

        def missing() -> set[str]:
            return self.poisoned - {self.poison.token_in(body) for _, body in self.run.stores.letters.all()}

        self.run.drained(120)
        self.run.must_come(lambda: not missing(), 60, "every poisonous message is a dead letter")
        queued = self.run.stores.letters.queued()
        print(f"{len(self.poisoned)} poisonous messages, {queued} dead letters are still in their queue")

    def kills(self) -> int:
        return sum(count for (kind, _), count in self.fired.items() if kind == "kill -9")

    def _has_fired(self, fault: Fault) -> None:
        self.fired[fault.kind, fault.target] += 1
        self.run.fault(str(fault))

    def _kill(self, fault: Fault) -> None:
        self.stand.kill(fault.target)
        self._has_fired(fault)

    def _freeze(self, fault: Fault) -> None:
        pids = self.stand.kill(fault.target, signal.SIGSTOP)
        self._has_fired(fault)
        time.sleep(fault.seconds)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _link(self, fault: Fault) -> None:
        server, _, mode = fault.target.partition(" ")
        proxy = self.run.proxies[server]
        proxy.set_mode(Mode(mode))
        self._has_fired(fault)
        time.sleep(fault.seconds)
        proxy.set_mode(Mode.PASS)
        proxy.reset()

    def _alarm(self, fault: Fault) -> None:
        self.stand.rabbitmqctl("set_vm_memory_high_watermark", "absolute", "1")
        self._has_fired(fault)
        time.sleep(fault.seconds)
        self._undo(lambda: self.stand.rabbitmqctl("set_vm_memory_high_watermark", "0.4"))

    def _sessions(self, fault: Fault) -> None:
        with self._postgres() as connection:
            connection.execute(TERMINATE_OTHERS)
        self._has_fired(fault)

    def _lock(self, fault: Fault) -> None:
        with self._postgres() as connection:
            connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            self._has_fired(fault)
            time.sleep(fault.seconds)

    def _block(self, fault: Fault) -> None:
        self._set_block(True)
        self._has_fired(fault)
        time.sleep(fault.seconds)
        self._undo(lambda: self._set_block(None))

    def _set_block(self, value: bool | None) -> None:
        block = {"index.blocks.read_only_allow_delete": value}
        self.stand.elasticsearch("PUT", f"/{self.run.stores.index}/_settings", block)

    def _pause(self, fault: Fault) -> None:
        self.stand.cache().client_pause(int(fault.seconds * 1000), all=True)
        self._has_fired(fault)

    def _postgres(self) -> psycopg.Connection:
        options = "-c lock_timeout=5000"
        return psycopg.connect(self.run.system.env["POSTGRES_DSN"], connect_timeout=3, options=options)

    def _undo(self, undo) -> None:
        """The server may be down just now; the fault must end all the same."""

        def is_undone() -> bool:
            undo()
            return True

        self.run.until(is_undone, 120, "the fault is undone")

    def report(self, seconds: float) -> None:
        ledger = self.run.ledger()
        long_ago = time.time() - LATE_SECONDS
        try:
            rows = self.run.stores.rows(self.run.prefix)
            missing = (entry for entry in ledger.accepted if entry.order_id not in rows)
            late = str(sum(entry.accepted_at < long_ago for entry in missing))
        except psycopg.Error:
            late = "unknown while PostgreSQL is down"
        kills, others = self.kills(), sum(self.fired.values()) - self.kills()
        print(
            f"--- {seconds:.0f} s: accepted {ledger.accepted_count}, kill -9 {kills}, other faults {others}, "
            f"accepted over {LATE_SECONDS} s ago and not stored {late}",
            flush=True,
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev test soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 31),
        help="replays the schedule of a run",
    )
    parser.add_argument("--rate", type=float, default=150.0, help="orders per second (default 150)")
    parser.add_argument("--schedule", action="store_true", help="print the seed's schedule and leave")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    faults = schedule(arguments.seed, arguments.minutes)
    print(f"seed {arguments.seed}: {len(faults)} faults in {arguments.minutes:g} minutes", flush=True)
    if arguments.schedule:
        print("\n".join(map(str, faults)))
        return 0

    arguments.folder.mkdir(parents=True, exist_ok=True)
    with Stand(arguments.folder) as stand:
        stand.keep_blocks()
        stand.scale(**SCALE)
        run = Run("soak", stand, arguments.seed, long=True)
        run.expects_redelivery = True
        soak = Soak(run)
        problems = []
        try:
            play(soak, faults, arguments)
        except AssertionError as error:
            problems.append(str(error))
        result = run.finish()
        peaks = run.observer.close()
        problems += [*memory_problems(peaks), *filter(None, [result.problem])]
        if not problems:
            stand.destroy()

    print("\nfaults fired:")
    for (kind, target), count in sorted(soak.fired.items()):
        print(f"  {count:4} {kind} {target}")
    print(
        f"\naccepted {result.accepted}, unknown {result.unknown}, redelivered {result.redelivered}, "
        f"kill -9 {soak.kills()}"
        f"\nlost {result.lost}, spurious {result.spurious}, duplicates {result.duplicates}"
        f"\n{memory_line(peaks)}"
    )
    for problem in problems:
        print(problem)
    print(f"\nseed {arguments.seed}\n\n{int(not problems)} passed, {int(bool(problems))} failed")
    return 1 if problems else 0


def play(soak: Soak, faults: list[Fault], arguments: argparse.Namespace) -> None:
    """Fires the schedule under load; at the end everything is repaired."""
    run = soak.run
    with (
        run.load(rate=arguments.rate, settle=120),
        concurrent.futures.ThreadPoolExecutor(32) as pool,
        concurrent.futures.ThreadPoolExecutor(1) as poisoner,
    ):
        started = time.monotonic()
        sent = poisoner.submit(soak.send_poison)
        next_poison = 1.0
        next_report = 30.0
        waiting = collections.deque(faults)
        while (now := time.monotonic() - started) < arguments.minutes * 60:
            while waiting and waiting[0].at <= now:
                pool.submit(soak.fire, waiting.popleft())
            if now >= next_report:
                pool.submit(soak.report, now)
                next_report += 30
            if now >= next_poison and sent.done():
                sent.result()
                sent = poisoner.submit(soak.send_poison)
                next_poison = now + 1
            run.stand.restart_given_up()
            time.sleep(0.2)
        pool.shutdown(wait=True)
        run.stand.repair(SCALE)
        run.recovered(30)
    soak.check_poison()


if __name__ == "__main__":
    sys.exit(main())
