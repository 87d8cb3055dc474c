"""Writers of every kind on one orders table, each in its own way and on rows of its own."""

import contextlib
import random
import threading
import time
from collections.abc import Callable

import psycopg

CONNECTED = 120  # at once: PostgreSQL takes 200

# Revenue and orders by day that the ledger has too little of; no row when it is exact.
DRIFT = """
SELECT day, coalesce(o.total, 0) - coalesce(l.total, 0), coalesce(o.orders, 0) - coalesce(l.orders, 0)
FROM (SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS orders,
             coalesce(sum(amount::numeric) FILTER (WHERE amount BETWEEN -1e30 AND 1e30), 0) AS total
      FROM orders GROUP BY 1) AS o
FULL JOIN (SELECT day, sum(total) AS total, sum(orders) AS orders FROM sales_ledger GROUP BY day) AS l
USING (day)
WHERE coalesce(o.total, 0) <> coalesce(l.total, 0) OR coalesce(o.orders, 0) <> coalesce(l.orders, 0)
"""

ROWS = """
SELECT gen_random_uuid()::text, 'w{me}', round((random() * 100)::numeric, 2),
       timestamptz '2026-03-01 12:00+00' + random() * interval '4 days' FROM generate_series(1, {rows})
"""
INSERT = "INSERT INTO orders (id, product_name, amount, created_at) " + ROWS


def insert(connection, me, rows):
    connection.execute(INSERT.format(me=me, rows=rows))


def conflict(connection, me, rows):
    insert(connection, me, rows)
    connection.execute(
        "INSERT INTO orders SELECT id, product_name, amount + 1, created_at FROM orders"
        " WHERE product_name = %s ON CONFLICT (id) DO UPDATE SET amount = excluded.amount",
        (f"w{me}",),
    )


def update(connection, me, rows):
    insert(connection, me, rows)
    connection.execute(
        "UPDATE orders SET amount = CASE WHEN random() < 0.1 THEN 'NaN' ELSE amount * 2 END,"
        " created_at = created_at + random() * interval '2 days' WHERE product_name = %s",
        (f"w{me}",),
    )


def delete(connection, me, rows):
    insert(connection, me, rows)
    connection.execute("DELETE FROM orders WHERE product_name = %s AND random() < 0.7", (f"w{me}",))


def copy(connection, me, rows):
    with connection.cursor().copy("COPY orders (id, product_name, amount, created_at) FROM STDIN") as rows_in:
        for _ in range(rows):
            fraction = f"{random.randrange(10**12):012d}"
            rows_in.write_row(
                (f"{random.getrandbits(64):x}-{fraction}", f"w{me}", "0.01", "2026-03-02 23:59:59.9+09")
            )


def give_up(connection, me, rows):
    insert(connection, me, rows)
    with connection.transaction(force_rollback=True):
        connection.execute("DELETE FROM orders WHERE product_name = %s", (f"w{me}",))
    if random.random() < 0.5:
        connection.rollback()


def serializable(connection, me, rows):
    connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    insert(connection, me, rows)


def insert_only(connection, me, rows):
    connection.execute("SET LOCAL ROLE sales_inserts")
    insert(connection, me, rows)


def truncate(connection, me, rows):
    """Seldom, and not for long: all others wait behind it."""
    insert(connection, me, rows)
    connection.commit()
    if random.random() < 0.002:
        connection.execute("SET LOCAL lock_timeout = '100ms'")
        with contextlib.suppress(psycopg.errors.LockNotAvailable), connection.transaction():
            connection.execute("TRUNCATE orders")


KINDS: tuple[Callable, ...] = (
    insert,
    conflict,
    update,
    delete,
    copy,
    give_up,
    serializable,
    insert_only,
    truncate,
)


class Writers:
    """`count` threads that write while the block runs. Theirs are the errors that nobody provoked."""

    def __init__(self, dsn: str, count: int):
        self.committed = 0
        self.errors: list[str] = []
        self._dsn = dsn
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._connected = threading.Semaphore(CONNECTED)
        self._threads = [threading.Thread(target=self._write, args=(me,)) for me in range(count)]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, me: int) -> None:
        while not self._stop.is_set():
            try:
                with self._connected, psycopg.connect(self._dsn, application_name="writer") as connection:
                    for _ in range(20):
                        if self._stop.is_set():
                            break
                        KINDS[me % len(KINDS)](connection, me, random.choice((1, 1, 3, 20)))
                        connection.commit()
                        with self._lock:
                            self.committed += 1
                        time.sleep(random.random() / 10)
            except psycopg.OperationalError as error:  # deadlocks and serialization failures are of them
                if error.sqlstate not in (None, "57P01", "53300"):  # killed, or no connection was left
                    self.errors.append(f"{error.sqlstate}: {error}")
            except psycopg.Error as error:
                self.errors.append(f"{error.sqlstate}: {error}")


def kill_some(connection, share: float) -> None:
    """In the middle of whatever they do."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'writer'"
        " AND datname = current_database() AND random() < %s",
        (share,),
    )
