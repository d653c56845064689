"""Checks that report in a line each, and what they are written with."""

import concurrent.futures
import time


class Suite:
    """Checks of one subject. Each is a function whose first argument is the cluster.

    With more than one worker, that many checks run at a time, so each must bring nodes of its own.
    """

    def __init__(self, subject, workers=1):
        self.subject = subject
        self.workers = workers
        self.checks = []  # (name, function, arguments after the cluster)

    def include(self, *suites):
        """Takes over the checks of other suites."""
        for suite in suites:
            self.checks += suite.checks

    def check(self, name):
        """Registers a function as a check."""

        def register(function):
            self.checks.append((name, function, ()))
            return function

        return register

    def check_each(self, name, rows):
        """Registers a function as a check for each row: the first item is its label, the rest are arguments."""

        def register(function):
            for label, *arguments in rows:
                self.checks.append((f"{name}: {label}", function, tuple(arguments)))
            return function

        return register


class Report:
    """Runs suites, prints a line for each check and counts. With `only`, suites without this in their subject are left out."""

    def __init__(self, only=None):
        self.only = only or ""
        self.passed = 0
        self.failed = 0

    def run_suite(self, suite, cluster, *arguments):
        if self.only not in suite.subject:
            return
        title = " ".join([suite.subject, *map(str, arguments)]) if arguments else suite.subject
        print(f"-- {title}, on {cluster}", flush=True)
        checks = [(name, function, (cluster, *arguments, *row)) for name, function, row in suite.checks]
        if suite.workers == 1:
            for check in checks:
                self._add(*judge(*check))
            return
        pool = concurrent.futures.ThreadPoolExecutor(suite.workers)
        try:
            for outcome in pool.map(judge, *zip(*checks)):
                self._add(*outcome)
        finally:
            pool.shutdown(cancel_futures=True)

    def _add(self, passed, line):
        self.passed += passed
        self.failed += not passed
        print(line, flush=True)

    def failed_outside(self, error):
        """Counts what went wrong between the checks."""
        self.failed += 1
        print(f"FAIL the test could not go on: {type(error).__name__}: {error}", flush=True)

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def judge(name, function, arguments):
    """Runs a check. Returns whether it passed, and its line of the report."""
    began = time.monotonic()
    try:
        passed, note = True, function(*arguments)
    except Exception as error:  # whatever goes wrong in one check, the others still run
        passed, note = False, f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    return passed, f"{'ok  ' if passed else 'FAIL'} {name}" + (f": {note}" if note else "") + f"  ({seconds:.1f} s)"


def expect(condition, otherwise):
    """Fails a check with this text. Unlike `assert` it does its work under `python3 -O` too."""
    if not condition:
        raise AssertionError(otherwise)


def expect_same(actual, expected, what="answer"):
    # 1 == 1.0 == True in Python, but not in JSON.
    if actual != expected or repr(actual) != repr(expected):
        raise AssertionError(f"{what} is {clip(actual)} instead of {clip(expected)}")


def clip(value, longest=300):
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def eventually(probe, *arguments, seconds=30.0, pause=0.05):
    """Tries `probe` until it does not raise, or the time is up. Its last error is then the reason given."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return probe(*arguments)
        except Exception as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {error}") from error
        time.sleep(pause)
