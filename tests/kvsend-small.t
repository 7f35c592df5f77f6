#!/bin/sh
# Small chunks that go along with their offers, kvwire(5): who sends so, and what a receiver
# makes of it.
# shellcheck disable=SC2086,SC2016,SC2154,SC2317
. "${0%/*}/lib.sh"
need python3

pids=''
at_exit='for p in $pids; do kill "$p" 2>/dev/null; done'
await() {
	await_n=0
	while [ ! -s "$1" ]; do
		sleep 0.02
		await_n=$((await_n + 1))
		[ $await_n -lt 500 ] || return 1
	done
}
recv() {
	rm -f "$tmp/ready"
	kvrecv --listen 127.0.0.1:0 --ready-file "$tmp/ready" "$@" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	pids="$pids $pid"
	await "$tmp/ready"
	addr=$(cat "$tmp/ready")
}
bad() {
	rm -f "$tmp/port"
	"$here/server/badproxy.py" "$tmp/port" "${addr#tcp://}" "$@" &
	pids="$pids $!"
	await "$tmp/port"
	addr=$(cat "$tmp/port")
}
ended() { wait "$pid"; }

# messages FILE TYPE: how many of a type a control connection carried
messages() {
	python3 -c '
import struct, sys
b, at, n = open(sys.argv[1], "rb").read(), 8, 0
while at < len(b):
    kind, size = struct.unpack_from("<II", b, at)
    n += kind == int(sys.argv[2])
    at += 8 + size
print(n)' "$@"
}

# ---- the sender ----
kvget -q 'gen:tiny?tokens=1024&chunk-tokens=32&seed=3' >"$tmp/s.kv"
kvput -q "$tmp/a" "$tmp/s.kv"
# A chunk, and the next only when the one before was stored: as an engine would.
slowly() {
	python3 - "$tmp/s.kv" "$1" <<'PY'
import json, os, struct, sys, time
b, at = open(sys.argv[1], "rb").read(), 0
def count():
    return sum(f.endswith(".safetensors") for _, _, v in os.walk(sys.argv[2]) for f in v)
had = count()
n = 0
while at < len(b):
    head = struct.unpack_from("<Q", b, at)[0] + 8
    h = json.loads(b[at + 8:at + head])
    size = head + (h["kvcache"]["data_offsets"][1] if "kvcache" in h else 0)
    sys.stdout.buffer.write(b[at:at + size])
    sys.stdout.buffer.flush()
    at += size
    if "kvcache" in h:
        n += 1
        for _ in range(200):
            if count() >= max(n, had):
                break
            time.sleep(0.01)
        time.sleep(0.002)
PY
}
recv --into "$tmp/b"
bad control-record "$tmp/control"

slowly "$tmp/b" | kvsend -q "$addr"
ok 'the receiver ends well'	ended
ok 'the stores are equal'	diff -r "$tmp/a" "$tmp/b"
ok 'the first is offered'	test "$(messages "$tmp/control" 6)" -ge 1
ok 'most others go along'	test "$(messages "$tmp/control" 15)" -ge 16
recv --into "$tmp/b" --json
bad control-record "$tmp/again"
slowly "$tmp/b" | kvsend -q "$addr"
ended
is 'what the receiver has does not' "$(messages "$tmp/again" 15)" 0
ok 'nothing is sent'		grep -q '"sent":0' "$tmp/err"
recv --into "$tmp/c"
bad control-flip 90000
slowly "$tmp/c" | kvsend -q "$addr"
ok 'a flipped bit: the receiver ends well'	ended
ok 'and asked again'		grep -q 'sent again 1' "$tmp/err"
ok 'the stores are equal'	diff -r "$tmp/a" "$tmp/c"

# ---- the receiver, and a sender that does as it likes ----
cat >"$tmp/rogue.py" <<'PY'
import glob, json, socket, struct, sys, time
port, store, what = int(sys.argv[1]), sys.argv[2], sys.argv[3]
files = sorted(glob.glob(store + "/**/*.safetensors", recursive=True))
def msg(t, body):
    return struct.pack("<II", t, len(body)) + body
def text(s):
    return struct.pack("<H", len(s)) + s.encode()
def need(s, n):
    b = b""
    while len(b) < n:
        got = s.recv(n - len(b))
        if not got:
            sys.exit("closed")
        b += got
    return b
def hear(s, skip=(14,)):
    while True:
        t, n = struct.unpack("<II", need(s, 8))
        body = need(s, n)
        if t not in skip:
            return t, body
def offer(i):
    b = open(files[i], "rb").read()
    m = json.loads(b[8:8 + struct.unpack("<Q", b[:8])[0]])["__metadata__"]
    region = 8 + struct.unpack("<Q", b[:8])[0]
    head = struct.pack("<QI", len(b), region) + bytes.fromhex(m["digest"]) + bytes.fromhex(m["seal"])
    return head + text(files[i][len(store) + 1:]), b
s = socket.create_connection(("127.0.0.1", port))
s.sendall(b"KVWIRE\x01\n" + msg(1, struct.pack("<IIIIQ", 1, 1, 1, 16, 0) + bytes(16) + text("rogue")))
need(s, 8)
t, hello = hear(s)
assert t == 1 and struct.unpack("<I", hello[:4])[0] & 8, hello
s.sendall(msg(3, struct.pack("<II", 0, 1)))
t, ticket = hear(s)
lane = socket.create_connection(("127.0.0.1", port))
lane.sendall(b"KVLANE\x01\n" + bytes(8) + ticket[:16])
s.sendall(msg(5, struct.pack("<IBB", 0, 1, 0) + text("")))
assert hear(s)[0] == 5
def along(i, b=None, o=None):
    mine, bytes_ = offer(i)
    return msg(15, struct.pack("<I", i) + (o or mine) + (bytes_ if b is None else b))
def verdict(state):
    t, b = hear(s)
    assert t == 9 and b[4] == state, (t, b)
def refused(text_):
    t, b = hear(s, (14, 7, 8, 9))
    assert t == 2 and text_ in b, (t, b)
def end(n):
    s.sendall(msg(11, struct.pack("<IBB", n, 3, 0) + text("")))
    t, b = hear(s)
    assert t == 12, t
    s.sendall(msg(13, struct.pack("<IBB", 0, 3, 0) + text("")))
    lane.sendall(struct.pack("<IIQQ", 2, 0, 0, 0))
if what == "good":
    for i in range(3):
        s.sendall(along(i))
        verdict(0)
    end(3)
elif what == "damaged":
    o, b = offer(0)
    s.sendall(along(0, b[:-1] + bytes([b[-1] ^ 1])))
    t, a = hear(s)
    assert t == 7 and a == struct.pack("<IIB", 0, 1, 1), (t, a)
    t, g = hear(s)
    assert t == 8 and g == struct.pack("<I", 0), (t, g)
    lane.sendall(struct.pack("<IIQQ", 1, 0, 0, len(b)) + b)
    verdict(0)
    end(1)
elif what == "two":			# while something else is open
    s.sendall(msg(6, struct.pack("<II", 0, 1) + offer(0)[0]) + along(1))
    refused(b"out of turn")
elif what == "short":
    s.sendall(along(0, b"\0" * 100))
    refused(b"chunk message")
elif what == "long":
    s.sendall(along(0, offer(0)[1] + b"x"))
    refused(b"chunk message")
elif what == "large":
    o = struct.pack("<QI", (256 << 10) + 4096, 4096) + offer(0)[0][12:]
    s.sendall(along(0, bytes((256 << 10) + 4096), o))
    refused(b"chunk message")
elif what == "skipped":
    s.sendall(msg(15, struct.pack("<I", 7) + offer(0)[0] + offer(0)[1]))
    refused(b"out of turn")
elif what == "name":
    o = offer(0)[0][:44] + text("../../etc/passwd")
    s.sendall(along(0, None, o))
    refused(b"offer")
elif what == "other":			# the bytes of another chunk
    s.sendall(along(0, offer(1)[1]))
    t, a = hear(s)
    assert t == 7 and a[8] == 1, (t, a)
elif what == "given":			# nothing was granted that could be given up
    s.sendall(along(0) + msg(10, struct.pack("<IBB", 0, 2, 4) + text("no")))
    t, b = hear(s, (14, 9))
    assert t == 2, (t, b)
PY
for what in good damaged; do
	recv --into "$tmp/r-$what"
	ok "another program: $what"	python3 "$tmp/rogue.py" "${addr##*:}" "$tmp/a" $what
	ok 'the receiver ends well'	ended
	ok 'what it stored is good'	kvstat verify -q "$tmp/r-$what"
done
for what in two short long large skipped name other given; do
	recv --into "$tmp/r-$what"
	ok "out of order: $what"	python3 "$tmp/rogue.py" "${addr##*:}" "$tmp/a" $what
	rc=0
	ended || rc=$?
	ok 'is an error'		test "$rc" -ge 3
	ok 'nothing wrong is stored'	sh -c "! find '$tmp/r-$what' -name '*.safetensors' | grep -q . || kvstat verify -q '$tmp/r-$what'"
done
finish
