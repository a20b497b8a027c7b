"""Runs a command on a terminal of its own: terminal.py TYPED FOLDER COMMAND...

Runs the command in the folder with its standard output in a pipe, and everything else on the terminal. Types TYPED once
the terminal does not echo. Prints what happened as JSON: {"exit", "stdout", "terminal", "echo_at_prompt", "echo_after"}.
TYPED may be `ctrl-c`, or `nothing`: then standard output is on the terminal too. So it is with `answers:y,n`, which
answers questions that end with `[y/N]`, one after the other: the file `asked-0` is made in the folder at the first, and the
answer typed as soon as there is a file `answer-0`. An answer may be `ctrl-c`, too.
"""

import json
import os
import pty
import select
import signal
import sys
import termios
import time

PATIENCE = 60  # seconds


def main():
    typed, folder, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    answers = typed.removeprefix("answers:").split(",") if typed.startswith("answers:") else []
    on_terminal = typed == "nothing" or bool(answers)
    reading, writing = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        # The process that started the tests may ignore this signal, as shells do for background jobs.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(folder)
        if not on_terminal:
            os.dup2(writing, 1)
        os.closerange(3, 64)
        os.execv(command[0], command)
    os.close(writing)
    until = time.monotonic() + PATIENCE

    def echoes():
        return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)

    def answer(number):
        """Whether it is time for an answer."""
        if shown.count(b"[y/N]") <= number:
            return False
        open(os.path.join(folder, f"asked-{number}"), "w").close()
        return os.path.exists(os.path.join(folder, f"answer-{number}"))

    shown, told, echo_at_prompt, sent, status = b"", b"", True, False, None
    answered = 0
    open_ends = {terminal, reading}
    try:
        while open_ends:
            if time.monotonic() > until:
                sys.exit(f"no end after {PATIENCE} s; the terminal shows {shown!r}")
            if not sent and shown.rstrip().endswith(b":") and not echoes():
                echo_at_prompt, sent = echoes(), True
                os.write(terminal, b"\x03" if typed == "ctrl-c" else typed.encode() + b"\n")
            if answered < len(answers) and answer(answered):
                os.write(terminal, b"\x03" if answers[answered] == "ctrl-c" else answers[answered].encode() + b"\n")
                answered += 1
            for end in select.select(open_ends, [], [], 0.05)[0]:
                try:
                    data = os.read(end, 4096)
                except OSError:  # the other side of the terminal is closed
                    data = b""
                if not data:
                    open_ends.discard(end)
                elif end == terminal:
                    shown += data
                else:
                    told += data
            if status is None:
                ended, how = os.waitpid(pid, os.WNOHANG)
                status = how if ended else None
            if status is not None and not select.select(open_ends, [], [], 0.2)[0]:
                break
        if status is None:
            status = os.waitpid(pid, 0)[1]
    except BaseException:
        if status is None:
            os.kill(pid, signal.SIGKILL)
        raise
    happened = {
        "exit": os.waitstatus_to_exitcode(status),
        "stdout": told.decode(),
        "terminal": shown.decode(),
        "echo_at_prompt": echo_at_prompt,
        "echo_after": echoes(),
    }
    print(json.dumps(happened))


main()
