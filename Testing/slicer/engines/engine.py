"""A small engine that behaves as told: the first argument names the behaviour. Standard library only.

It follows the contract of ``python -m BATNetLib ... --events json`` where the behaviour does not say
otherwise: events as JSON lines, and an end within a second when its standard input closes.
"""

import json
import os
import signal
import sys
import threading
import time

CANCELLED = 6


def say(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def stage(name, done, total, finished=False):
    say("stage", name=name, done=done, total=total, seconds=0.1 * done, finished=finished)


def watch_input():
    def watch():
        while os.read(0, 4096):  # not sys.stdin: its lock would abort Python at a normal end
            pass
        say(
            "error",
            code="cancelled",
            found="The run was cancelled.",
            wanted="It had not finished.",
            remedy="Start it again.",
            exit_code=CANCELLED,
        )
        os._exit(CANCELLED)

    threading.Thread(target=watch, daemon=True).start()


def good():
    for step in range(5):
        stage("segment", step, 5)
    stage("segment", 5, 5, finished=True)
    say("warning", code="gap", text="Two slices are missing.")
    say("result", folder="/somewhere/result", probability=0.25)


def slow():
    for step in range(600):
        stage("segment", step, 600)
        time.sleep(0.1)


def refuses():
    say(
        "error",
        code="mask-empty",
        found="The mask is empty.",
        wanted="Fat was expected.",
        remedy="Draw it.",
        exit_code=3,
    )
    sys.exit(3)


def some_failed():
    say("result", folder="batch", failed=2)
    sys.exit(4)


def garbage():
    print("Python 3.12 says hello")
    print('{"event": "nonsense"}')
    print('{"event": "stage"}')
    print('{"event": "stage", "name": "x", "done": "many"}')
    print('{"event": "result"')
    print("[1, 2")
    print('{"event": 3}')
    print(json.dumps({"event": "stage", "name": {"a": []}, "done": None, "total": None, "seconds": None}))
    print("null")
    sys.stdout.flush()
    good()


def not_unicode():
    sys.stdout.buffer.write(b"\xff\xfe\x00 caf\xe9\n\x00\x00\n")
    sys.stdout.buffer.flush()
    good()


def half_a_line():
    text = json.dumps(
        {"event": "stage", "name": "cut in two", "done": 1, "total": 2, "seconds": 0, "finished": False}
    )
    sys.stdout.write(text[:20])
    sys.stdout.flush()
    time.sleep(0.3)
    sys.stdout.write(text[20:] + "\n" + json.dumps({"event": "result", "folder": "late"}))  # no line end
    sys.stdout.flush()


def endless_line():
    for _ in range(300):
        sys.stdout.write("x" * 10000)
    sys.stdout.write("\n")
    good()


def flood():
    line = json.dumps(
        {"event": "stage", "name": "flood", "done": 1, "total": 9, "seconds": 1, "finished": False}
    )
    for number in range(200_000):
        sys.stdout.write(line + "\n" if number % 2 else f"line {number} of something that nobody asked for\n")
    good()


def flood_of_errors():
    for number in range(200_000):
        sys.stderr.write(f"warning number {number}\n")
    good()


def silent():
    time.sleep(60)


def pauses():
    stage("before", 1, 2)
    time.sleep(1.5)
    stage("after", 2, 2)
    say("result", folder="paused")


def no_answer():
    stage("segment", 1, 2)


def crash():
    stage("segment", 1, 2)
    os.kill(os.getpid(), signal.SIGSEGV)


def defect():
    sys.stderr.write('Traceback (most recent call last):\n  File "/home/somebody/secret/engine.py", line 3\n')
    sys.exit(1)


def closes_output():
    stage("segment", 1, 2)
    os.close(1)
    time.sleep(0.4)
    os._exit(0)


def ignores_cancel():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stage("deaf", 0, 1)
    time.sleep(60)


def late_result():
    """Has its result and is told to stop at the same moment."""
    sys.stdin.buffer.read()
    say("result", folder="finished anyway")


def unexpected_exit():
    say("result", folder="there")
    sys.exit(17)


def tells_its_surroundings():
    import importlib.util

    found = importlib.util.find_spec("BATNetLib") is not None
    say("result", folder="here", library=found, arguments=sys.argv[1:], encoding=sys.stdout.encoding)


DEAF = (ignores_cancel, late_result)

if __name__ == "__main__":
    behaviour = globals()[sys.argv[1]]
    if behaviour not in DEAF:
        watch_input()
    behaviour()
