#!/usr/bin/env python3
"""Run kvevict and kill it with SIGKILL in the middle, at a place that a number says, not the clock:
its audit log is a pipe of one page, from which so many lines are read and no more, so that
it stands still a few lines later, with its jobs at work, until it is killed.

    kill.py LINES kvevict STORE ...

Prints how many lines it wrote in all; status 1 when it came to its end before."""
import fcntl, os, signal, subprocess, sys, time

F_SETPIPE_SZ = 1031

lines = int(sys.argv[1])
fifo = os.path.join(os.environ['tmp'], f'audit.{os.getpid()}')
os.mkfifo(fifo)
pipe = os.open(fifo, os.O_RDWR)     # both ends: it never sees a reader gone
fcntl.fcntl(pipe, F_SETPIPE_SZ, 4096)
p = subprocess.Popen(sys.argv[2:] + ['--audit-log', fifo], stdout=subprocess.DEVNULL)
got = b''
os.set_blocking(pipe, False)


def read(most):
    try:
        return os.read(pipe, most)
    except BlockingIOError:
        return b''


while got.count(b'\n') < lines and p.poll() is None:
    new = read(256)
    got += new
    if not new:
        time.sleep(0.001)
if lines % 2:
    time.sleep(0.02)                # every other time it has come to stand still
early = p.poll() is None
p.send_signal(signal.SIGKILL)
p.wait()
while new := read(65536):
    got += new
os.unlink(fifo)
print(got.count(b'\n'))
sys.exit(not early)
