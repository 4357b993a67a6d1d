"""Signals that reach `weighbridge serve` are handed to the server, whenever they come."""

import os
import signal

from weighbridge.cli.serve_command import _Signals


class Server:
    """A process that ends when it is sent a signal; `look` runs each time it is looked at."""

    def __init__(self, look):
        self.returncode = None
        self.got = []
        self._look = look

    def poll(self):
        found = self.returncode
        self._look()
        return found

    def send_signal(self, number):
        self.got.append(number)
        self.returncode = -number
        os.kill(os.getpid(), signal.SIGCHLD)


def test_a_signal_after_the_look_and_before_the_wait_is_not_lost():
    """Nothing else would wake the command before the server ends by itself."""
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    server = Server(look)
    with _Signals() as signals:
        signals.to(server)
        assert signals.wait(server) == -signal.SIGTERM
    assert server.got == [signal.SIGTERM]


def test_a_signal_before_there_is_a_server_reaches_it():
    """It is kept until the server is named."""
    server = Server(lambda: None)
    with _Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        signals.to(server)
        assert signals.wait(server) == -signal.SIGHUP
    assert server.got == [signal.SIGHUP]


def test_what_handled_signals_before_handles_them_again():
    """Nothing of the command's handling stays."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    with _Signals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1
