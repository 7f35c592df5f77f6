#!/bin/sh
# Small chunks that go along with their offers, kvwire(5): who sends so, and what a receiver
# makes of it.
# shellcheck disable=SC2086,SC2016,SC2154,SC2317
. "${0%/*}/lib.sh"
. "$here/peers.sh"
need python3

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

# ---- a peer that does as it likes ----
rogue() { python3 "$here/server/rogue.py" "$@"; }
for what in good spoilt mixed loses; do
	recv --into "$tmp/r-$what"
	ok "another program: $what"	rogue send "${addr##*:}" $what "$tmp/a"
	ok 'the receiver ends well'	ended
	ok 'what it stored is good'	kvstat verify -q "$tmp/r-$what"
done
mkfifo "$tmp/fifo"
exec 9<>"$tmp/fifo"
for what in two short long large skipped name other given twice impatient \
	lost_eager lost_other lost_twice lost_none nowhere; do
	err=err
	[ $what != impatient ] || err=fifo
	recv --into "$tmp/r-$what"
	ok "out of order: $what"	rogue send "${addr##*:}" $what "$tmp/a"
	rc=0
	ended || rc=$?
	ok 'is an error'		test "$rc" -ge 3
	ok 'nothing wrong is stored'	sh -c "! find '$tmp/r-$what' -name '*.safetensors' | grep -q . || kvstat verify -q '$tmp/r-$what'"
done
kvget -q 'gen:tiny?tokens=16384&chunk-tokens=2048&seed=1' >"$tmp/large.kv"
for what in again_early failed_early loses_none; do
	rm -f "$tmp/port"
	rogue recv "$tmp/port" $what &
	pid=$!
	await "$tmp/port"
	ok "a receiver: $what"		status 4 kvsend --lanes 1 --sock-buffer 64K "$(cat "$tmp/port")" "$tmp/large.kv"
	ok 'is told'			ended
done
kvrecv --listen "unix://$tmp/sock" --ready-file "$tmp/ready2" --into "$tmp/none" 2>"$tmp/err" &
pid=$!
pids="$pids $pid"
await "$tmp/ready2"
ok 'descriptors that were not agreed'	rogue local "$tmp/sock" descriptors $pid
ok 'eventfds that one could wait for without end'	rogue local "$tmp/sock" sleepy
timeout 10 tail --pid=$pid -f /dev/null || kill -9 $pid
ok 'the receiver says 5'	status 5 ended
rm -f "$tmp/port"
rogue recv "$tmp/port" elsewhere &
pid=$!
await "$tmp/port"
kvsend "$(cat "$tmp/port")" "$tmp/large.kv" 2>"$tmp/sent"
ok 'a receiver that shares no memory'	ended
ok 'without a word of that'	sh -c "! grep -q shm '$tmp/sent'"
if $nobody kvsend --version >/dev/null 2>&1; then
	rm -f "$tmp/port"
	rogue recv "$tmp/port" foreign &
	pid=$!
	await "$tmp/port"
	$nobody kvsend "$(cat "$tmp/port")" <"$tmp/large.kv" 2>"$tmp/sent"
	ok 'root shares none with another user'	ended
else
	skip 'nobody cannot run it'
fi
rm -f "$tmp/port"
rogue recv "$tmp/port" loses_lane &
pid=$!
await "$tmp/port"
ok 'a receiver that gives up a lane'	status 5 kvsend --lanes 2 --sock-buffer 64K "$(cat "$tmp/port")" "$tmp/large.kv"
ok 'is told what it was to bring'	ended
finish
