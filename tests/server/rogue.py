#!/usr/bin/python3
"""A peer of kvrecv or kvsend that does as it likes, and ends well if it was answered as it should.

rogue.py send PORT WHAT STORE     sends chunks of STORE to the kvrecv at PORT
rogue.py recv PORTFILE WHAT       listens, and receives from a kvsend
rogue.py local PATH WHAT PID      goes to the kvrecv at the Unix socket PATH, which is process PID

WHAT is one of the functions below.
"""
import fcntl
import glob
import json
import os
import socket
import struct
import sys
import time

LANES = 2
AWAY = ("elsewhere", "foreign")
NOW = (14,)             # skipped while waiting for a message: pings
LATE = (14, 7, 8, 9)    # whatever a sink says about chunks, too


def msg(t, body):
    return struct.pack("<II", t, len(body)) + body


def text(s):
    return struct.pack("<H", len(s)) + s.encode()


def verdict(t, i, state):
    return msg(t, struct.pack("<IBB", i, state, 0) + text(""))


def hello(flags):
    head = struct.pack("<IIIIQ", flags, 3 if what in AWAY else 1, LANES, 16, 1 << 30)
    return b"KVWIRE\x01\n" + msg(1, head + bytes(16) + text("rogue"))


def need(s, n):
    b = b""
    while len(b) < n:
        got = s.recv(n - len(b))
        if not got:
            sys.exit("closed")
        b += got
    return b


def hear(skip=NOW):
    while True:
        t, n = struct.unpack("<II", need(s, 8))
        body = need(s, n)
        if t not in skip:
            return t, body


def refused(why, skip=LATE):
    t, b = hear(skip)
    assert t == 2 and why in b, (t, b)


# ---- as a source ----

def offer(i):
    b = open(files[i], "rb").read()
    region = 8 + struct.unpack("<Q", b[:8])[0]
    m = json.loads(b[8:region])["__metadata__"]
    head = struct.pack("<QI", len(b), region) + bytes.fromhex(m["digest"] + m["seal"])
    return head + text(files[i][len(store) + 1:]), b


def offers(first, *o):
    return msg(6, struct.pack("<II", first, len(o)) + b"".join(o))


def along(i, b=None, o=None):
    mine, its = offer(i)
    return msg(15, struct.pack("<I", i) + (o or mine) + (its if b is None else b))


def frame(i, off, b):
    return struct.pack("<IIQQ", 1, i, off, len(b)) + b


def damaged(b):
    return b[:-1] + bytes([b[-1] ^ 1])


def wanted(i):
    t, b = hear()
    assert t == 7 and b == struct.pack("<IIB", i, 1, 1), (t, b)
    t, b = hear()
    assert t == 8 and b == struct.pack("<I", i), (t, b)


def told(state):
    t, b = hear()
    assert t == 9 and b[4] == state, (t, b)


def end(n):
    s.sendall(verdict(11, n, 3))
    assert hear()[0] == 12
    s.sendall(verdict(13, 0, 3))
    for lane in lanes:
        lane.sendall(struct.pack("<IIQQ", 2, 0, 0, 0))


def meet_sink(port):
    global s
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(hello(1 | 16))
    need(s, 8)
    t, b = hear()
    assert t == 1 and struct.unpack("<I", b[:4])[0] & 8, b
    s.sendall(msg(3, struct.pack("<II", 0, LANES)))
    ticket = hear()[1]
    for i in range(LANES):
        lane = socket.create_connection(("127.0.0.1", port))
        lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lane.sendall(b"KVLANE\x01\n" + struct.pack("<II", i, 0) + ticket[:16])
        lanes.append(lane)
    s.sendall(verdict(5, 0, 1))
    assert hear()[0] == 5


def good():
    for i in range(3):
        s.sendall(along(i))
        told(0)
    end(3)


def spoilt():
    o, b = offer(0)
    s.sendall(along(0, damaged(b)))
    wanted(0)
    lanes[0].sendall(frame(0, 0, b))
    told(0)
    end(1)


def mixed():
    """One chunk in small pieces over both lanes at once, in order."""
    o, b = offer(0)
    s.sendall(offers(0, o))
    wanted(0)
    for at in range(0, len(b), 100):
        lanes[at // 100 % 2].sendall(frame(0, at, b[at:at + 100]))
    told(0)
    end(1)


def twice():
    """More bytes than were granted: some come twice."""
    o, b = offer(0)
    s.sendall(offers(0, o))
    wanted(0)
    lanes[0].sendall(frame(0, 0, b[:8192]) + frame(0, 4096, b[4096:]))
    refused(b"beyond its end")


def impatient():
    """Sends anew before it is asked: while the sink still says that it will, to a full pipe, 9."""
    fcntl.fcntl(9, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(9, False)
    try:
        while True:
            os.write(9, b"-" * 64)
    except BlockingIOError:
        pass
    o, b = offer(0)
    s.sendall(offers(0, o))
    wanted(0)
    lanes[0].sendall(frame(0, 0, damaged(b)))
    time.sleep(0.5)
    lanes[0].sendall(frame(0, 0, b))
    t, b = hear()
    os.read(9, 4096)
    assert t == 2 and b"not granted" in b, (t, b)


def lost(lane, *ids):
    s.sendall(msg(16, struct.pack("<II", lane, len(ids)) + b"".join(struct.pack("<I", i) for i in ids)))


def loses():
    """Half of a chunk by a lane that is given up, and all of it by the other."""
    o, b = offer(0)
    s.sendall(offers(0, o))
    wanted(0)
    lanes[0].sendall(frame(0, 0, b[:8192]))
    lost(0, 0)
    told(1)
    lanes[1].sendall(frame(0, 0, b))
    told(0)
    end(1)


def lost_eager():
    """The same, without to be asked."""
    o, b = offer(0)
    s.sendall(offers(0, o))
    wanted(0)
    lost(0, 0)
    time.sleep(0.1)
    lanes[1].sendall(frame(0, 0, b))
    refused(b"not granted")


def lost_other():
    """What another lane brings cannot be lost."""
    o, b = offer(0)
    s.sendall(offers(0, o))
    wanted(0)
    lanes[1].sendall(frame(0, 0, b[:8192]))
    time.sleep(0.1)
    lost(0, 0)
    refused(b"did not bring it")


def lost_twice():
    lost(0)
    lost(0)
    refused(b"out of turn")


def lost_none():
    lost(LANES)
    refused(b"out of turn")


def two():
    """While something else is open."""
    s.sendall(offers(0, offer(0)[0]) + along(1))
    refused(b"out of turn")


def short():
    s.sendall(along(0, b"\0" * 100))
    refused(b"chunk message")


def long():
    s.sendall(along(0, offer(0)[1] + b"x"))
    refused(b"chunk message")


def large():
    size = (256 << 10) + 4096
    s.sendall(along(0, bytes(size), struct.pack("<QI", size, 4096) + offer(0)[0][12:]))
    refused(b"chunk message")


def nowhere():
    s.sendall(offers(0, offer(0)[0]))
    wanted(0)
    lanes[0].sendall(struct.pack("<IIQQ", 1, 0, (1 << 64) - 1, 1))
    refused(b"a frame of")


def skipped():
    s.sendall(along(7))
    refused(b"out of turn")


def name():
    s.sendall(along(0, None, offer(0)[0][:44] + text("../../etc/passwd")))
    refused(b"offer")


def other():
    """The bytes of another chunk."""
    s.sendall(along(0, offer(1)[1]))
    wanted(0)


def given():
    """Nothing was granted that could be given up."""
    s.sendall(along(0) + verdict(10, 0, 2))
    refused(b"given up")


# ---- as a sink ----

def meet_source(portfile):
    global s
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    door.bind(("127.0.0.1", 0))
    door.listen(9)
    with open(portfile, "w") as f:
        f.write("127.0.0.1:%d\n" % door.getsockname()[1])
    s = door.accept()[0]
    need(s, 8)
    assert hear()[0] == 1
    s.sendall(hello(16))
    t, b = hear()
    assert t == 3
    if what in AWAY:            # shared memory is tried, where nobody is, or another user
        assert b[0] == 1, b
        name = os.urandom(16)
        other = socket.socket(socket.AF_UNIX)
        if what == "foreign":
            other.bind(b"\0kvtools-" + name.hex().encode())
            other.listen(9)
        s.sendall(msg(4, b"t" * 16 + name))
        t, b = hear()
        assert t == 5 and b[4] == 0, b
        s.sendall(verdict(5, 0, 0))
        t, b = hear()
        assert t == 3 and b[0] == 0, b
    s.sendall(msg(4, b"t" * 16))
    for i in range(struct.unpack("<II", b)[1]):
        lanes.append(door.accept()[0])
        need(lanes[i], 32)
    assert hear()[0] == 5
    s.sendall(verdict(5, 0, 1))


def taken():
    """All that is offered is wanted and granted; how many."""
    t, b = hear()
    assert t == 6
    n = struct.unpack("<II", b[:8])[1]
    s.sendall(msg(7, struct.pack("<II", 0, n) + b"\xff" * ((n + 7) // 8)) +
              b"".join(msg(8, struct.pack("<I", i)) for i in range(n)))
    return n


def again_early():
    """Says about a chunk that waits for a lane, as we read none, that it is damaged."""
    n = taken()
    time.sleep(0.3)
    s.sendall(verdict(9, n - 1, 1))
    refused(b"not sent", (14, 6, 11))


def failed_early():
    """The same, that it failed."""
    n = taken()
    time.sleep(0.3)
    s.sendall(verdict(9, n - 1, 2))
    refused(b"not sent", (14, 6, 11))


def loses_lane():
    """Gives up a lane of which we read nothing: the source tells what it sent there."""
    taken()
    time.sleep(0.3)
    s.sendall(msg(16, struct.pack("<II", 0, 0)))
    t, b = hear((14, 6, 11))
    lane, n = struct.unpack("<II", b[:8])
    assert t == 16 and lane == 0 and n >= 1 and len(b) == 8 + 4 * n, (t, b)


def elsewhere():
    taken()


foreign = elsewhere


def loses_none():
    taken()
    s.sendall(msg(16, struct.pack("<II", 7, 0)))
    refused(b"lane 7 lost", (14, 6, 11))


# ---- to a Unix socket ----

def unix():
    c = socket.socket(socket.AF_UNIX)
    c.connect(where)
    return c


def meet_local():
    global s
    s = unix()
    s.sendall(hello(1 | 16))
    need(s, 8)
    assert hear()[0] == 1


def local_lane(fds):
    s.sendall(msg(3, struct.pack("<II", 1, 1)))
    lane = unix()
    lane.sendall(b"KVLANE\x01\n" + bytes(8) + hear()[1][:16])
    socket.send_fds(lane, [b"R"], fds)
    return lane


def sleepy():
    """Goes away, and its eventfds would be waited for without end."""
    memory = os.memfd_create("ring", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, 4096 + (4 << 20))
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    lane = local_lane([memory, os.eventfd(0), os.eventfd(0)])
    s.sendall(verdict(5, 0, 1))
    assert hear()[1][4] == 1
    time.sleep(0.3)
    lane.close()


def descriptors():
    """Not as many as were agreed: it closes them."""
    held = "/proc/%s/fd" % sys.argv[4]
    count = os.access(held, os.R_OK)  # by root alone: our tools leave no core
    before = len(os.listdir(held)) if count else 0
    for n in 1, 2, 4:
        lane = local_lane([0] * n)
        assert lane.recv(1) == b""
        s.sendall(verdict(5, 0, 0))
        assert hear()[1][4] == 0
    after = os.listdir(held) if count else ""
    assert len(after) == before, (before, after)


side, where, what = sys.argv[1:4]
lanes = []
socket.setdefaulttimeout(10)
if side == "send":
    store = sys.argv[4]
    files = sorted(glob.glob(store + "/**/*.safetensors", recursive=True))
    meet_sink(int(where))
elif side == "local":
    meet_local()
else:
    meet_source(where)
globals()[what]()
