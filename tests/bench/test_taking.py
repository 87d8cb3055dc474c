import pytest

from generators import Load
from measures import taking


class Side:
    name, url, api = "peer", "http://127.0.0.1:1", []

    def start(self, _programs, **_settings):
        pass


class Bench:
    seconds, api_sides = 1, [Side()]

    def rounds(self):
        yield


def test_an_overload_of_a_side_that_accepts_nothing(monkeypatch):
    monkeypatch.setattr(taking, "wrk", lambda *_, **__: Load(0.0, 1.0, 0, 0, 0, 0))
    with pytest.raises(RuntimeError, match="peer has accepted nothing"):
        list(taking._overload(Bench(), "amqp://127.0.0.1"))
