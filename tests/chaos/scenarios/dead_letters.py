"""The dead letters themselves: each is kept, whatever becomes of its confirm and its bridge."""

import collections
import contextlib
import time

from proxy import Mode

from . import scenario

BURST = 200
CONFIRM_SECONDS = 10  # after which the bridge sends a dead letter again


@scenario(14, "dead-letters-kept")
def kept(run):
    """Dead letters are stored but their confirms never come; then the bridge is killed, the connection cut,
    or neither happens until the bridge gives up waiting: each is there in the end, at least once."""
    run.expects_redelivery = True
    queues, poison = run.stand.servers.queues, []

    def depth() -> int:
        return queues.depth(queues.dead_name) or 0

    def recovered() -> bool:
        status = run.stand.services.readiness("bridge-1").json()["status"]
        return status == "ready" and depth() >= len(poison)

    @contextlib.contextmanager
    def unconfirmed():
        """Inside of the block, dead letters have been published and their confirms are lost."""
        with contextlib.ExitStack() as lost:
            with run.stopped("bridge-1"):
                bodies = [f"poison {run.prefix} {len(poison) + number}" for number in range(BURST)]
                poison.extend(bodies)
                queues.publish(*bodies)  # delivered: they wait in the frozen bridge's socket
                run.until(lambda: queues.depth() == 0, 10, "the poison is delivered")
                lost.enter_context(run.mode("rabbitmq", Mode.DROP_REPLIES))
                before = depth()
            run.until(lambda: depth() > before, 10, "dead letters are published")
            yield
        run.must_come(recovered, 30, "the dead letters are published once more")

    with run.without_archive():
        with run.load(rate=150):
            run.until_accepted(200)
            for _ in range(5 if run.long else 1):
                with unconfirmed():
                    run.kill("bridge-1")
                with unconfirmed():
                    pass
                with unconfirmed():
                    time.sleep(CONFIRM_SECONDS + 1)
                run.until_accepted(300)
            run.until_accepted(500)
        run.recovered(15)
        run.drained()

        letters = collections.Counter()
        for properties, body in run.own_dead_letters():
            headers = properties.headers
            letters[body.decode()] += 1
            run.check(headers["x-reason"] == "malformed" and headers["x-attempts"] == 0, f"{body}: {headers}")
            run.check(headers["x-original-size"] == len(body), f"{body}: {headers}")
    lost = [body for body in poison if body not in letters]
    run.check(not lost, f"{len(lost)} dead letters are lost: {lost[:5]}")
    again = letters.total() - len(letters)
    print(f"    {len(letters)} dead letters, {again} more of the same", flush=True)
    run.check(again > 0, "no dead letter came again: the run says nothing")
