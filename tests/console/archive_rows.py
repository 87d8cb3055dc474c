"""Dead letters and jobs to look at: some real, many by SQL."""

from psycopg.types.json import Jsonb

from wait import eventually

# Two reasons and stages in turn, a minute apart, the first the newest.
LETTERS = """INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body, body_bytes,
        properties, digest, died_at)
    SELECT 'order_queue', (ARRAY['malformed', 'id_conflict'])[1 + n %% 2], %(detail)s,
        (ARRAY['intake', 'persist'])[1 + n %% 2], n %% 2, gen_random_uuid(), %(body)s, length(%(body)s),
        '', '', now() - n * interval '1 minute'
    FROM generate_series(0, %(count)s - 1) AS n ORDER BY n DESC RETURNING id"""

JOBS = """INSERT INTO jobs (kind, state, requested, started, finished, parameters, requested_by, total, done,
        result)
    SELECT 'verify', 'done', at, at, at + interval '42 seconds', '{}', 'tests', 1000, 1000, %s
    FROM (SELECT now() - n * interval '1 hour' AS at FROM generate_series(1, %s) AS n ORDER BY n DESC)
        AS times
    RETURNING id"""

# As a verification writes it that has found one order without a document, and two past the ledger.
TALLY = {"count": 0, "ids": []}
RESULT = dict.fromkeys(("missing", "extra", "different", "dead_at_index", "refused"), TALLY) | {
    "missing": {"count": 1, "ids": ["0193a5e2-0000-7000-8000-00000000c0de"]},
    "from": None,
    "to": None,
    "orders": 1000,
    "documents": 999,
    "repaired": 0,
    "deleted": 0,
    "approximate": False,
    "sales_ledger": {"days": 1, "orders": 2},
}


class Rows:
    """What a test puts into the archive and among the jobs; nothing of it is there afterwards, nor of what
    the test made of it."""

    def __init__(self, system):
        self._system = system
        self._last = {table: self._newest(table) for table in ("dead_letters", "jobs")}

    def poison(self, body):
        """Sends what can be no order, str or bytes; returns the id that its letter has in the archive."""
        body = body.encode() if isinstance(body, str) else body
        self._system.queues.publish(body)
        query = "SELECT max(id) FROM dead_letters WHERE id > %s AND body = %s"
        newest = self._last["dead_letters"]
        return eventually(
            lambda: self._system.postgres.execute(query, (newest, body[: 1 << 20])).fetchone()[0],
            "the letter is in the archive",
        )

    def letters(self, count, detail="made for a test", body=b'{"product_name":"Desk"}'):
        """The ids of so many, the newest last."""
        parameters = {"count": count, "detail": detail, "body": body}
        return [row[0] for row in self._system.postgres.execute(LETTERS, parameters)]

    def jobs(self, count):
        """The ids of so many verifications that are done, the newest last."""
        return [row[0] for row in self._system.postgres.execute(JOBS, (Jsonb(RESULT), count))]

    def states(self):
        """How many of the letters there are in each."""
        query = "SELECT state, count(*) FROM dead_letters WHERE id > %s GROUP BY state"
        return dict(self._system.postgres.execute(query, (self._last["dead_letters"],)).fetchall())

    def forget(self):
        queues = self._system.queues
        eventually(lambda: not queues.depth(queues.dead_name), "no letter is on its way to the archive")
        unfinished = "SELECT count(*) FROM jobs WHERE id > %s AND finished IS NULL"
        eventually(
            lambda: self._system.postgres.execute(unfinished, (self._last["jobs"],)).fetchone() == (0,),
            "no job runs",
        )
        for table, last in self._last.items():
            self._system.postgres.execute(f"DELETE FROM {table} WHERE id > %s", (last,))

    def _newest(self, table):
        return self._system.postgres.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
