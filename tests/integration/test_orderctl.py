"""orderctl on the real system."""

import json
import signal
import subprocess
import uuid

import pytest

from queues import original_order
from system import binary
from wait import eventually


@pytest.fixture
def command(system):
    """orderctl as .run/env has it: the program and its environment."""
    return [binary("orderctl")], {name: system.env[name] for name in ("ORDER_API_URL", "ADMIN_TOKEN")}


@pytest.fixture
def orderctl(command):
    def run(*arguments, ends_with=0):
        program, environment = command
        result = subprocess.run(
            [*program, *arguments], env=environment, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == ends_with, result.stdout + result.stderr
        return result.stdout

    return run


def test_an_order_comes_back(system, orderctl, unique, tmp_path):
    """Found by status, shown, corrected, replayed, and traced until it is searchable."""
    order_id = str(uuid.uuid4())
    poison = original_order("", 7, order_id=order_id)
    system.queues.publish(poison, message_id=order_id)

    def found():
        letters = json.loads(orderctl("dead", "list", "--order-id", order_id, "-o", "json"))["dead_letters"]
        return letters[0] if letters else None

    letter = str(eventually(found, "the letter is archived")["id"])
    status = eventually(lambda: dead_letters(orderctl), "status tells of it", 30)
    assert "orderctl dead list" in status
    assert order_id in orderctl("dead", "list", "--reason", "unacceptable", "--since", "10m")
    shown = orderctl("dead", "show", letter)
    assert "reason       unacceptable" in shown
    assert ": dead" in orderctl("trace", order_id, ends_with=1)
    file = tmp_path / "order.json"
    assert orderctl("dead", "show", letter, "--body") == poison
    orderctl("dead", "replay", letter, ends_with=1)  # as it is, it can be no order
    file.write_text(poison.replace('"product_name":""', f'"product_name":"{unique}"'))
    assert f"trace --follow {order_id}" in orderctl("dead", "replay", letter, "--order", str(file))
    assert ": searchable" in orderctl("trace", "--follow", order_id)
    assert system.wait_stored(order_id)[0]["product_name"] == unique
    assert "state        replayed" in orderctl("dead", "show", letter)
    orderctl("dead", "replay", letter, ends_with=1)  # once is enough


def dead_letters(orderctl):
    """What status prints once it counts the letter; it looks at most once a second."""
    try:
        text = orderctl("status", ends_with=1)
    except AssertionError:
        return None
    return text if "orderctl dead list" in text else None


def test_submit_killed_half_way(system, command, orderctl, unique, tmp_path):
    """2,000 equal lines are 2,000 orders; the run that was killed and its repetition send none twice."""
    file = tmp_path / "orders.csv"
    file.write_text("product_name,amount\n" + f"{unique},0.01\n" * 2000)
    program, environment = command
    process = subprocess.Popen([*program, "submit", "--parallel", "4", str(file)], env=environment)
    eventually(lambda: system.row_count(unique) > 100, "some are stored", interval=0.01)
    assert process.poll() is None, "it was too quick to be killed"
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert system.row_count(unique) < 2000
    assert orderctl("submit", str(file)).startswith("2000 orders accepted, 0 refused")
    eventually(lambda: system.row_count(unique) >= 2000, "all are stored")
    last = system.api.accept(f"{unique} last")
    system.wait_stored(last)
    assert system.row_count(unique) == 2000
