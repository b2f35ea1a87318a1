"""Waiting for conditions with a deadline. Tests never sleep for a guess."""

import datetime
import os
import time

# Sanitizer builds are slower: the Makefile raises this.
PATIENCE = float(os.environ.get("BARGE_PATIENCE", "1"))


class TooLate(AssertionError):
    pass


def wait_until(condition, deadline_s=10.0, what="", every_s=0.01):
    """Calls condition until it returns something true, and returns that. what: text or a function that makes one."""
    end = time.monotonic() + deadline_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            said = what() if callable(what) else what
            raise TooLate(f"not within {deadline_s * PATIENCE:g} s: {said or condition}")
        time.sleep(every_s)


def holds_for(condition, duration_s, every_s=0.02):
    """Checks that condition stays true for a while (for what must not happen)."""
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        assert condition()
        time.sleep(every_s)


def within_an_hour(check):
    """check(now) with the time in UTC; once more where an hour, and maybe a day, ended meanwhile: the program has a clock, too."""
    while True:
        now = datetime.datetime.now(datetime.timezone.utc)
        try:
            return check(now)
        except AssertionError:
            if datetime.datetime.now(datetime.timezone.utc).hour == now.hour:
                raise
