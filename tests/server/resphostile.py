#!/usr/bin/python3
"""A server between a client and a real Redis that spoils replies: to GET and GETRANGE, or what
the tables below say.

usage: resphostile.py MODE REAL-PORT PORT-FILE
"""
import os
import socket
import sys
import threading
import time

mode, real_port, port_file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
spoiled = {"n": 0}


def texts(form, n):
    return b"*%d\r\n" % n + b"".join(b"$6\r\n" + form % i + b"\r\n" for i in range(n))


ANSWERS = {     # always the same
    "rounds": (b"SCAN", b"*2\r\n$2\r\n77\r\n" + texts(b"k%05d", 50000)),    # and again
    "nobody": (b"SENTINEL", b"*2\r\n$-1\r\n$-1\r\n"),
    "oom": (b"EVAL", b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
    "names": (b"ZRANGEBYLEX", texts(b"n%05d", 512)),    # a page, whatever was asked for
}
CUTS = {        # done, and not told: the connection ends, once
    "lost": (b"EXEC", 1),
    "lock": (b"SET", 1),
    "page": (b"HMGET", 6),
    "late": (b"SCAN", 4),
    "gone": (b"UNLINK", 3),     # and there is no other, as with
    "deaf": (b"EVAL", 1),       # of an index that is written
}


def item(f):
    """One RESP item as bytes, whole."""
    line = f.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    kind, rest = line[:1], line[1:-2]
    if kind == b"$" and int(rest) >= 0:
        return line + f.read(int(rest) + 2)
    if kind == b"*" and int(rest) > 0:
        return line + b"".join(item(f) for _ in range(int(rest)))
    return line


def ask(real, f, *words):
    real.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    reply = item(f)
    return reply[reply.index(b"\r\n") + 2:-2]


def spoil(reply, own_port):
    """What the client gets for this reply; None: hang up after it."""
    head = reply.index(b"\r\n") + 2
    n = len(reply) - head - 2
    spoiled["n"] += mode != "other" or n > 10000
    if mode == "truncate":
        return reply[:head + n // 2], True
    if mode == "other" and n > 10000 and spoiled["n"] == 1:     # and another value takes its place
        return reply[:head + n // 2], True
    if mode == "drop":      # now and then, in the middle of a value
        return (reply[:head + n // 2], True) if spoiled["n"] % 3 == 1 else (reply, False)
    if mode == "flip":
        at = head + n - 10
        return reply[:at] + bytes([reply[at] ^ 1]) + reply[at + 1:], False
    if mode == "short":
        return b"$%d\r\n" % (n - 100) + reply[head:head + n - 100] + b"\r\n", False
    if mode == "long":      # more bytes than announced
        return b"$%d\r\n" % (n - 100) + reply[head:], False
    if mode == "huge":
        return b"$9223372036854775807\r\n" + b"x" * 100000, False
    if mode == "limit":     # announced, never sent
        return b"$536870912\r\n" + b"x" * 1000, True
    if mode == "nest":
        return b"*1\r\n" * 100000, False
    if mode == "number":
        return b":7\r\n", False
    if mode == "garbage":
        return b"HTTP/1.1 400 Bad Request\r\n\r\n", True
    if mode == "endless":
        return b"+" + b"y" * 10000000, False
    if mode == "moved":
        return b"-MOVED 1 127.0.0.1:%d\r\n" % own_port, False
    if mode == "movedfar":  # another server each time, none there
        return b"-MOVED 1 127.0.0.1:%d\r\n" % (1 + spoiled["n"]), False
    if mode == "ask":
        return b"-ASK 1 127.0.0.1:%d\r\n" % own_port, False
    if mode == "stall":
        time.sleep(60)
    if mode == "loading":   # for a while
        late = spoiled["n"] > 3
        return (reply if late else b"-LOADING Redis is loading the dataset in memory\r\n"), False
    return reply, False


def serve(client, own_port):
    real = socket.create_connection(("127.0.0.1", real_port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    f, g = client.makefile("rb"), real.makefile("rb")
    try:
        while True:
            request = item(f)
            words = request.split(b"\r\n")
            if words[2].upper() == b"EXEC" and mode == "nil":   # another came in between
                real.sendall(b"*1\r\n$7\r\nDISCARD\r\n")
                item(g)
                client.sendall(b"*-1\r\n")
                continue
            real.sendall(request)
            reply = item(g)
            if words[2].upper() == ANSWERS.get(mode, b" ")[0]:
                reply = ANSWERS[mode][1]
            if words[2].upper() == CUTS.get(mode, b" ")[0]:
                spoiled["n"] += 1
                if mode == "late":
                    time.sleep(0.4)
                if spoiled["n"] == CUTS[mode][1]:
                    if mode in ("gone", "deaf"):
                        os._exit(0)
                    break
            if words[2].upper() in (b"GET", b"GETRANGE") and reply[:1] == b"$":
                reply, end = spoil(reply, own_port)
                client.sendall(reply)
                if end and mode == "other":
                    value = ask(real, g, b"GET", words[4])
                    ask(real, g, b"SET", words[4], bytes(255 - byte for byte in value))
                if end:
                    break
            else:
                client.sendall(reply)
    except (EOFError, OSError, ValueError):
        pass
    for s in (client, real):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(50)
port = listener.getsockname()[1]
with open(port_file + ".new", "w") as out:
    out.write(str(port))
os.rename(port_file + ".new", port_file)
while True:
    conn, _ = listener.accept()
    threading.Thread(target=serve, args=(conn, port), daemon=True).start()
