import pytest


@pytest.fixture(autouse=True)
def nothing_healthy_is_dead(request):
    """After each test that uses the shared system, there are no dead letters: a test of poison takes
    what it expects."""
    yield
    if "system" in request.fixturenames:
        queues = request.getfixturevalue("system").queues
        if queues.dead():
            letters = [(properties.headers, body[:200]) for properties, body in queues.take_dead()]
            pytest.fail(f"dead letters: {letters[:3]} (of {len(letters)})")
