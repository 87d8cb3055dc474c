"""A bridge that has nothing to do keeps its connection."""

import re
import subprocess

import requests

from system import ROOT, binary, free_port
from wait import during, eventually

SLOW_SEND = ROOT / "build/release/tests/integration/libslow_send.so"


def test_a_broker_whose_answers_are_there_at_once_is_not_silent(system):
    """RabbitMQ sends no heartbeats while it has something else to send: the answer to the bridge's
    question of every 2 s is all that it says."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = system.environment("bridge-1") | {
        "LD_PRELOAD": str(SLOW_SEND),
        "ORDER_QUEUE": "idle",
        "BRIDGE_BIND": f"tcp://127.0.0.1:{free_port()}",
        "ADMIN_PORT": url.rsplit(":", 1)[1],
    }

    def metric(name):
        try:
            text = requests.get(url + "/metrics", timeout=30).text
        except requests.ConnectionError:
            return None
        return float(re.search(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)[1])

    bridge = subprocess.Popen([binary("bridge")], env=environment, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: metric("order_queue_consumers") == 1, "it consumes")
        before = metric("bridge_intake_losses_total")
        during(25, lambda: metric("bridge_intake_losses_total") == before, "the connection is the same")
    finally:
        bridge.terminate()
        bridge.wait(60)
