"""Dead letters, wherever they are: in their queue, or in the table to which a scheduler archives them."""

import contextlib
import pathlib
import sys
import time

import pika
import psycopg

sys.path.append(str(pathlib.Path(__file__).parents[1] / "integration"))
from queues import connect  # noqa: E402

AGREE_SECONDS = 0.2
READS = 25

Letter = tuple[pika.BasicProperties, bytes]


class Letters:
    def __init__(self, env: dict[str, str], queue: str):
        self._env = env
        self._queue = queue
        self._dead_queue = queue + ".dead"

    def all(self) -> list[Letter]:
        """All that are dead, each as often as it came. They stay where they are.

        On its way from the queue to the table a letter is for a moment in neither: two reads must agree.
        """
        letters = self._read()
        for _ in range(READS):
            before = letters
            time.sleep(AGREE_SECONDS)
            letters = self._read()
            if len(letters) == len(before):
                break
        return letters

    def count(self) -> int:
        """How many are dead, without those that a scheduler has in hand. Takes none from the queue."""
        with self._postgres() as connection:
            sql = "SELECT coalesce(sum(1 + copies), 0) FROM dead_letters WHERE queue = %s AND state = 'dead'"
            archived = connection.execute(sql, (self._queue,)).fetchone()[0]
        return self.queued() + int(archived)

    def queued(self) -> int:
        """How many are ready in the queue."""
        connection = connect(self._env["RABBITMQ_URL"])
        try:
            return connection.channel().queue_declare(self._dead_queue, passive=True).method.message_count
        except pika.exceptions.ChannelClosedByBroker:  # there is no such queue yet
            return 0
        finally:
            connection.close()

    def clear(self) -> None:
        """Forgets all of both places, and the jobs that are about them."""
        connection = connect(self._env["RABBITMQ_URL"])
        with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):  # there is no such queue yet
            connection.channel().queue_purge(self._dead_queue)
        connection.close()
        with self._postgres() as connection:
            connection.execute("TRUNCATE dead_letters, jobs, job_items")

    def _read(self) -> list[Letter]:
        """What is read from the queue is held until the table has been read: nothing is seen twice."""
        letters = []
        connection = connect(self._env["RABBITMQ_URL"])
        channel = connection.channel()
        try:
            while True:
                method, properties, body = channel.basic_get(self._dead_queue)
                if method is None:
                    break
                letters.append((properties, body))
            return letters + self._archived()
        except pika.exceptions.ChannelClosedByBroker:  # there is no such queue yet
            return letters
        finally:
            connection.close()

    def _archived(self) -> list[Letter]:
        sql = "SELECT properties, body, copies FROM dead_letters WHERE queue = %s AND state = 'dead'"
        letters = []
        with self._postgres() as connection:
            for properties, body, copies in connection.execute(sql, (self._queue,)):
                letter = (pika.BasicProperties().decode(bytes(properties)), bytes(body))
                letters += [letter] * (1 + copies)
        return letters

    def _postgres(self) -> psycopg.Connection:
        return psycopg.connect(self._env["POSTGRES_DSN"], connect_timeout=5)
