#!/usr/bin/python3
"""A TCP proxy between kvsend and kvrecv that does one bad thing.

badproxy.py PORTFILE HOST:PORT ACTION [ARG]

Actions, on bytes from the dialler to the listener, of connections that are lanes
("KVLANE") or with a leading "control-" of the others:
  flip N       flip a bit of byte N of the first such connection, once
  cut N        after N bytes close every connection, once; later ones pass
  cutall N     the same each time
  cutone N     after N bytes of the first close that one, once
  half N       the same, towards the dialler alone
  stall N S    after N bytes of the first pass nothing for S seconds, once
  record FILE  pass, and write down what the first lane said
"""
import os
import socket
import sys
import threading
import time

portfile, target, action = sys.argv[1:4]
arg = sys.argv[4:]
host, port = target.rsplit(":", 1)
on_control = action.startswith("control-")
action = action.replace("control-", "")
lock = threading.Lock()
done = False
conns = []


def close_all(these):
    with lock:
        for s in these or conns:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if not these:
            conns.clear()


def spoil(data, seen):
    """The bytes to pass on; None: close."""
    global done
    if action == "record":
        with open(arg[0], "ab") as f:
            f.write(data)
        return data
    at = int(arg[0])
    if done or not seen <= at < seen + len(data):
        return data
    done = action != "cutall"
    if action == "flip":
        data = bytearray(data)
        data[at - seen] ^= 0x10
        return bytes(data)
    if action.startswith("cut") or action == "half":
        return None
    time.sleep(float(arg[1]))
    return data


def pump(src, dst, watch):
    seen, bad = 0, None
    try:
        while True:
            data = src.recv(65536)
            if not data:
                break
            if watch and bad is None:
                bad = data.startswith(b"KVLANE") != on_control
            if bad:
                n = len(data)
                data = spoil(data, seen)
                seen += n
                if data is None:
                    close_all({"cutone": (src, dst), "half": (src,)}.get(action))
                    if action == "half":
                        src.close()
                    return
            dst.sendall(data)
    except OSError:
        pass
    try:
        dst.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(a):
    try:
        b = socket.create_connection((host, int(port)))
    except OSError:
        a.close()
        return
    with lock:
        conns.extend((a, b))
    t = threading.Thread(target=pump, args=(b, a, False), daemon=True)
    t.start()
    pump(a, b, True)
    t.join()
    a.close()
    b.close()


ls = socket.socket()
ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
ls.bind(("127.0.0.1", 0))
ls.listen(64)
with open(portfile + ".tmp", "w") as f:
    f.write("127.0.0.1:%d\n" % ls.getsockname()[1])
os.rename(portfile + ".tmp", portfile)
while True:
    c, _ = ls.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
