import threading

from generators import Running, stop_generators


def test_what_an_error_has_left_running_is_stopped_and_its_limit_too():
    before = threading.active_count()
    Running(["sleep", "600"], {}, 600)
    stop_generators()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(10)
    assert threading.active_count() == before
