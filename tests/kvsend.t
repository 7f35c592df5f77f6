#!/bin/sh
# kvsend and kvrecv over TCP, TLS and shared memory of one host; kvsend-net.t has the network.
# shellcheck disable=SC2086,SC2046,SC2016,SC2154,SC2317
. "${0%/*}/lib.sh"
. "$here/peers.sh"
need python3 openssl

gen='gen:tiny?tokens=4096&seed=1'
kvget -q "$gen" >"$tmp/s.kv" || exit 1
kvput -q "$tmp/a" "$tmp/s.kv" || exit 1
chunks=$(kvsend -n --from "$tmp/a" 127.0.0.1:1 2>&1 | sed 's/.*offer \([0-9]*\) .*/\1/')
field() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" "$2"; }

# ---- plain ways ----
recv
ok 'a stream goes over'		status 0 kvsend "$addr" "$tmp/s.kv"
ok 'the receiver ends well'	ended
ok 'it is the same stream'	cmp "$tmp/s.kv" "$tmp/out"

recv --into "$tmp/b" --json
ok 'from store to store'	status 0 kvsend --json "$addr" --from "$tmp/a" --metrics-file "$tmp/m"
cp "$tmp/.tap" "$tmp/sum"
ok 'the receiver ends well'	ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/b"
for f in offered had sent sent_bytes failed prepare_s wire_s settle_s; do
	is "both ends say the same of $f" "$(field $f "$tmp/sum")" "$(field $f "$tmp/err")"
done
is 'metrics count chunks' "$(sed -n 's/^kvtools_send_tx_requests_total //p' "$tmp/m")" "$chunks"

recv --into "$tmp/b"
ok 'two receivers are 2, and say so' sh -c "kvrecv '$addr' 2>&1 >/dev/null | grep -q 'receives as well'"
kvsend -q "$addr" "$tmp/s.kv" 2>/dev/null; ended

recv --into "$tmp/b" --json
ok 'a second run'		status 0 kvsend "$addr" "$tmp/s.kv"
ended
is 'sends nothing' "$(field sent "$tmp/err") $(field had "$tmp/err")" "0 $chunks"

recv --have "$tmp/a"
ok 'chunks that --have holds'	status 0 kvsend "$addr" "$tmp/s.kv"
ended
is 'do not come' "$(kvget - 2>&1 >/dev/null <"$tmp/out" | sed 's/.*: \([0-9]*\) chunks*.*/\1/')" 0

recv --into "$tmp/c"
ok 'from a pipe'		sh -c "kvget -q '$tmp/a' | kvsend '$addr' --lanes 3"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/c"
recv --into "$tmp/d"
ok 'layer by layer'		status 0 kvsend "$addr" --order layer --from "$tmp/a"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/d"

kvrecv --listen "unix://$tmp/sock" --ready-file "$tmp/r2" >"$tmp/out" 2>"$tmp/err" &
pid=$!
await "$tmp/r2"
ok 'shared memory'		status 0 kvsend "unix://$tmp/sock" "$tmp/s.kv"
ended
ok 'it is the same stream'	cmp "$tmp/s.kv" "$tmp/out"
ok 'by the name of shm'		grep -q '^kvrecv: shm' "$tmp/err"

if [ ! -d /sys/class/infiniband ]; then
	recv --into "$tmp/fall"
	ok 'rdma:// where there is none'	status 0 kvsend "rdma://${addr#tcp://}" "$tmp/s.kv"
	ended
	cp "$tmp/.tap" "$tmp/said"
	ok 'is said in a line'	grep -q 'rdma: .*falling back to shm' "$tmp/said"
	ok 'and in the summary'	grep -q 'transports that failed 1' "$tmp/said"
	recv --into "$tmp/fall" --idle-timeout 1s
	ok 'required it is an error'	sh -c "kvsend --require rdma '$addr' '$tmp/s.kv' 2>'$tmp/said'; case \$? in 2|5) ;; *) exit 1; esac"
	is 'of one line'	"$(grep -c . "$tmp/said")" 1
	ended
	ok 'of which the other end hears'	grep -q 'refused by .*: rdma: ' "$tmp/err"
	recv --into "$tmp/fall" --idle-timeout 1s --require rdma
	ok 'required there, too'	sh -c "kvsend '$addr' '$tmp/s.kv' 2>'$tmp/said'; case \$? in 2|5) ;; *) exit 1; esac"
	ok 'with the reason'	grep -q 'refused by .*: rdma: ' "$tmp/said"
	ended
fi
ok 'required, and left out of those allowed' status 2 kvsend --require tcp --transport shm 127.0.0.1:1 "$tmp/s.kv"
ok 'whichever stands first' status 2 kvsend --transport shm --require tcp 127.0.0.1:1 "$tmp/s.kv"

# ---- pull ----
rm -f "$tmp/ready"
kvsend --listen 127.0.0.1:0 --ready-file "$tmp/ready" --from "$tmp/a" --serve 2>"$tmp/err" &
server=$!
pids="$pids $server"
await "$tmp/ready"
addr=$(cat "$tmp/ready")
ok 'pulled'			status 0 kvrecv "$addr" --into "$tmp/e"
ok 'the stores are equal'	same "$tmp/a" "$tmp/e"
h=$(find "$tmp/a" -name '*.safetensors' | head -n 1 | sed 's,.*/,,' | cut -c1-12)
ok 'one chunk by its name'	sh -c "kvrecv '$addr' $h >'$tmp/one'"
is 'it is one'	"$(kvget - 2>&1 >/dev/null <"$tmp/one" | sed 's/.*: \([0-9]*\) chunks*.*/\1/')" 1
ok 'that has that name'		grep -aq "$h" "$tmp/one"
ok 'one that is not there is 1'	status 1 kvrecv "$addr" "$h" 999999999999 --into "$tmp/some"
ok 'and told'			sh -c "kvrecv -q '$addr' 999999999999 --into '$tmp/some' 2>&1 | grep -q '999999999999: no such chunk'"
is 'the other came'		"$(kvstat ls -o name "$tmp/some" | cut -c 1-12)" "$h"
kill -TERM "$server"
ok 'the server dies by the signal'	status 143 wait "$server"

rm -f "$tmp/ready"
kvsend -q --listen 127.0.0.1:0 --ready-file "$tmp/ready" "$tmp/s.kv" &
pid=$!
pids="$pids $pid"
await "$tmp/ready"
addr=$(cat "$tmp/ready")
ok 'a stranger before'		python3 -c "
import socket, sys
s = socket.create_connection(('127.0.0.1', int('${addr##*:}')))
s.sendall(b'KVWIRE\\x01\\n' + b'x' * 100)
s.close()"
ok 'pulled from a file'		sh -c "kvrecv -q '$addr' >'$tmp/out'"
ok 'the sender ends well'	ended
ok 'it is the same stream'	cmp "$tmp/s.kv" "$tmp/out"

# a receiver that is cut: one that connects again is waited for
pulled() { # OPTION: by a receiver that is killed in the middle; then by another one
	rm -f "$tmp/ready"
	kvsend --bwlimit 2MB/s --listen 127.0.0.1:0 --ready-file "$tmp/ready" "$tmp/s.kv" 2>"$tmp/err" &
	pid=$!
	pids="$pids $pid"
	await "$tmp/ready"
	addr=$(cat "$tmp/ready")
	kvrecv -q "$addr" $1 --into "$tmp/cut" 2>/dev/null &
	sleep 0.5
	kill -9 $!
	wait $! 2>/dev/null
}
pulled ''
ok 'one that does not: the sender ends at once' timeout 10 tail --pid=$pid -f /dev/null
ok 'with a time-out'			status 5 ended
pulled --retry
until grep -q 'may come back' "$tmp/err"; do sleep 0.1; done
ok 'one that does: it is waited for'	status 0 kvrecv -q "$addr" --into "$tmp/cut"
ok 'the sender ends well'		ended
ok 'all is there'			same "$tmp/a" "$tmp/cut"

recv --direct --into "$tmp/direct"
ok 'past the page cache'	status 0 kvsend "$addr" "$tmp/s.kv"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/direct"

# ---- several ----
recv --into "$tmp/f" --senders 6
for i in 1 2 3 4 5 6; do
	kvget -q "$gen" | kvsend -q "$addr" &
	eval "s$i=\$!"
done
for i in 1 2 3 4 5 6; do
	eval "p=\$s$i"
	ok "sender $i of six"	wait "$p"
done
ok 'the receiver ends well'	ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/f"
recv --into "$tmp/g1"
a1=$addr p1=$pid
recv --into "$tmp/g2"
ok 'to two receivers'		status 0 kvsend "$a1" "$addr" "$tmp/s.kv"
ok 'both end well'		sh -c "true" && wait "$p1" && ended
ok 'the first has all'		same "$tmp/a" "$tmp/g1"
ok 'the second has all'		same "$tmp/a" "$tmp/g2"

recv --into "$tmp/g3"
ok 'one of two is not there: 5'	status 5 kvsend -q 127.0.0.1:1 "$addr" "$tmp/s.kv"
ok 'the other ends well'	ended
ok 'and has all'		same "$tmp/a" "$tmp/g3"
recv --into "$tmp/x"
ok '--max-duration is 3'	status 3 kvsend -q --max-duration 1s --bwlimit 1M "$addr" "$tmp/s.kv"
ended
recv --into "$tmp/x" --mem 128K
ok 'chunks over --mem are refused' status 6 kvsend -q "$addr" "$tmp/s.kv"
cp "$tmp/.tap" "$tmp/sum"
ok '... with both sizes' grep -q 'chunk of 260 KiB: the limit is 128 KiB (--chunk-max, --mem)' "$tmp/sum"
ended

# ---- measuring ----
recv --into "$tmp/x"
ok 'latency of a chunk'		status 0 kvsend --latency --size 64K "$addr"
grep '64 KiB' "$tmp/.tap" | sed 's/^kvsend//' >"$tmp/row"
ended
ok 'both ends print the same row'	sh -c "[ -s '$tmp/row' ] && sed 's/^kvrecv//' '$tmp/err' | grep -qxFf '$tmp/row'"
recv --into "$tmp/nothing" --senders 2
ok 'rate of chunks'		status 0 kvsend --bench --size 64K..128K "$addr"
ended
ok 'nothing of it is stored'	sh -c "[ -z \"\$(find '$tmp/nothing' -name '*.safetensors')\" ]"

# ---- keys ----
printf 'a secret of more than sixteen bytes\n' >"$tmp/psk"
printf 'another secret of the same length..\n' >"$tmp/psk2"
chmod 600 "$tmp/psk" "$tmp/psk2"
recv --psk-file "$tmp/psk" --into "$tmp/k"
ok 'wrong key is 6'		status 6 kvsend "$addr" --psk-file "$tmp/psk2" "$tmp/s.kv"
ok 'plain to TLS is 6'		status 6 kvsend "$addr" "$tmp/s.kv"
ok 'nothing came of it'		sh -c "[ -z \"\$(find '$tmp/k' -name '*.safetensors')\" ]"
ok 'and both say so'		grep -q 'another pre-shared key' "$tmp/err"
ok 'right key'			status 0 kvsend "$addr" --psk-file "$tmp/psk" "$tmp/s.kv"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/k"
recv --into "$tmp/k2" --idle-timeout 2s
ok 'TLS to plain is 6'		status 6 kvsend "$addr" --psk-file "$tmp/psk" "$tmp/s.kv"
ok 'nobody came is 5'		status 5 ended
chmod 644 "$tmp/psk2"
ok 'a key that all can read is 6'	status 6 kvsend "$addr" --psk-file "$tmp/psk2" "$tmp/s.kv"
printf short >"$tmp/psk2"
chmod 600 "$tmp/psk2"
ok 'a short key is 2'		status 2 kvsend "$addr" --psk-file "$tmp/psk2" "$tmp/s.kv"

# ---- certificates ----
cert() { # NAME SIGNER SUBJECT-ALT-NAME DAYS [WHEN]
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$tmp/$1.key" \
		-subj "/CN=$1" -out "$tmp/$1.csr" 2>/dev/null
	printf 'subjectAltName=%s\n' "$3" >"$tmp/ext"
	${5:+faketime "$5"} openssl x509 -req -in "$tmp/$1.csr" -CA "$tmp/$2.pem" -CAkey "$tmp/$2.key" -CAcreateserial \
		-days "$4" -extfile "$tmp/ext" -out "$tmp/$1.pem" 2>/dev/null
}
for ca in ca otherca; do
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$tmp/$ca.key" \
		-subj "/CN=$ca" -days 9 -out "$tmp/$ca.pem" 2>/dev/null
done
cert server ca IP:127.0.0.1 9
cert client ca DNS:client.example 9
cert stranger otherca DNS:client.example 9
cert old ca DNS:client.example 1 '3 days ago'
cert elsewhere ca DNS:elsewhere.example 9
tls() { printf -- '--tls --cert %s --key %s --ca %s' "$tmp/$1.pem" "$tmp/$1.key" "$tmp/ca.pem"; }
recv $(tls server) --into "$tmp/t"
ok "a stranger's certificate is 6"	status 6 kvsend $(tls stranger) "$addr" "$tmp/s.kv"
ok 'an expired one is 6'	status 6 kvsend $(tls old) "$addr" "$tmp/s.kv"
ok 'a key instead is 6'		status 6 kvsend --psk-file "$tmp/psk" "$addr" "$tmp/s.kv"
ok 'nothing came of it'		sh -c "[ -z \"\$(find '$tmp/t' -name '*.safetensors')\" ]"
ok 'the right one'		status 0 kvsend $(tls client) "$addr" "$tmp/s.kv"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/t"
recv $(tls elsewhere) --into "$tmp/t2"
ok 'a server of another name is 6'	status 6 kvsend $(tls client) "$addr" "$tmp/s.kv"
ok 'unless that is expected'	status 0 kvsend $(tls client) --peer-name elsewhere.example "$addr" "$tmp/s.kv"
ended

# ---- one host ----
local=' shm, 1 connection, same user, shared memory'
for opts in '' "--psk-file $tmp/psk" '--require shm'; do
	rm -rf "$tmp/near"
	recv $opts --into "$tmp/near"
	ok "shared memory found by TCP $opts"	sh -c "kvsend $opts '${addr#tcp://}' '$tmp/s.kv' 2>'$tmp/sent'"
	ended
	ok 'it says'			grep -q "$local" "$tmp/sent"
	ok 'nothing is said to have failed'	sh -c "! grep -q 'failed' '$tmp/sent'"
	ok 'the stores are equal'	same "$tmp/a" "$tmp/near"
done
recv --into "$tmp/near"
ok 'tcp:// is tcp'		sh -c "kvsend '$addr' '$tmp/s.kv' 2>&1 | grep -q ': tcp, '"
ended
recv --into "$tmp/near"
ok 'so is UCX_TLS without sm'	sh -c "UCX_TLS=^sm kvsend '${addr#tcp://}' '$tmp/s.kv' 2>&1 | grep -q ': tcp, '"
ended
if $nobody kvsend --version >/dev/null 2>&1; then
	rm -rf "$tmp/near"
	recv --into "$tmp/near"
	ok 'another user: tcp'		sh -c "$nobody kvsend '${addr#tcp://}' <'$tmp/s.kv' 2>'$tmp/sent'"
	ended
	ok 'it says'			grep -q ': tcp, 2 connections' "$tmp/sent"
	ok 'which is no failure'	sh -c "! grep -q 'fail\|fall' '$tmp/sent'"
	ok 'the stores are equal'	same "$tmp/a" "$tmp/near"
else
	skip 'nobody cannot run it'
fi

# ---- who may, and how ----
ok 'listening beyond this host is 6'	status 6 kvrecv --listen 0.0.0.0:0 --into "$tmp/x"
ok 'unreachable is 5'		status 5 kvsend 127.0.0.1:1 "$tmp/s.kv"
ok 'no such transport is 2'	status 2 kvsend --transport cuda 127.0.0.1:1 "$tmp/s.kv"
ok 'an address without a port is 2'	status 2 kvsend 127.0.0.1 "$tmp/s.kv"
recv --allow 10.0.0.0/8 --into "$tmp/x" --idle-timeout 2s
ok 'not of the network is 5'	status 5 kvsend "$addr" "$tmp/s.kv"
ended
recv --into "$tmp/x" --idle-timeout 3s --transport tcp
ok 'a list without tcp forbids it'	status 2 kvsend --transport shm "$addr" "$tmp/s.kv"
UCX_TLS=^tcp
export UCX_TLS
ok 'so does UCX_TLS'		status 2 kvsend --transport sm "$addr" "$tmp/s.kv"
unset UCX_TLS
ended
ok 'an empty stdin is 4'	sh -c "kvsend -q 127.0.0.1:1 </dev/null; [ \$? -ge 4 ]"

# ---- damage on the way ----
recv --into "$tmp/h"
bad flip 100000
ok 'a flipped bit is sent again'	status 0 kvsend --lanes 1 "$addr" "$tmp/s.kv"
ended
ok 'and was seen'		grep -q 'sent again 1' "$tmp/err"
ok 'the stores are equal'	same "$tmp/a" "$tmp/h"
recv --into "$tmp/i"
bad cut 300000
ok 'a cut line with --retry'	status 0 kvsend --retry --lanes 1 "$addr" "$tmp/s.kv"
ok 'the receiver ends well'	ended
ok 'and was seen'		grep -q 'reconnects 1' "$tmp/err"
ok 'the stores are equal'	same "$tmp/a" "$tmp/i"
recv
bad cut 300000
ok 'the same as a stream'	status 0 kvsend --retry --lanes 1 "$addr" "$tmp/s.kv"
ok 'the receiver ends well'	ended
ok 'it is the same stream'	cmp "$tmp/s.kv" "$tmp/out"
recv --into "$tmp/j"
bad cut 300000
ok 'a cut line without it is 5 or 3'	sh -c "kvsend -q --lanes 1 '$addr' '$tmp/s.kv'; case \$? in 3|5) ;; *) exit 1; esac"
ok 'the receiver says 5'	status 5 ended
recv --into "$tmp/j"
ok 'a second run finishes'	status 0 kvsend "$addr" "$tmp/s.kv"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/j"
recv --into "$tmp/lone"
bad cutone 100000
kvsend "$addr" "$tmp/s.kv" 2>"$tmp/sent"
is 'one line of two is cut, and it goes on' $? 0
ok 'the receiver ends well'	ended
ok 'with a line'		test "$(grep -c 'a lane is lost' "$tmp/sent")$(grep -c 'a lane is lost' "$tmp/err")" = 11
ok 'counted'			grep -q 'lanes lost 1, reconnects 0' "$tmp/sent"
ok 'the stores are equal'	same "$tmp/a" "$tmp/lone"
recv --into "$tmp/lone2"
bad half 100000
ok 'the only line, of which but its sender knows that it is cut, is 5'	status 5 sh -c "cat '$tmp/s.kv' | kvsend -q --lanes 1 --order layer '$addr'"
ok 'the receiver says 5'	status 5 ended
kvget -q 'gen:tiny?tokens=16&chunk-tokens=16&seed=1' >"$tmp/one.kv"
recv --into "$tmp/half"
bad half 32
ok 'the only chunk by a line that only its sender knows to be cut'	status 0 timeout 30 kvsend "$addr" "$tmp/one.kv"
ok 'the receiver ends well'	ended
ok 'and knows it then'		grep -q 'sent again 1, lanes lost 1' "$tmp/err"
recv --into "$tmp/tls" --psk-file "$tmp/psk"
bad control-flip 100000
ok 'a flipped bit under TLS'	status 0 kvsend --psk-file "$tmp/psk" "$addr" "$tmp/s.kv"
ok 'the receiver ends well'	ended
ok 'breaks the lane'		grep -q 'damaged on the way: .*: a lane is lost' "$tmp/err"
ok 'the stores are equal'	same "$tmp/a" "$tmp/tls"
recv --into "$tmp/tls2" --psk-file "$tmp/psk"
bad control-flip 100000
ok 'which is 5 without another'	status 5 kvsend --lanes 1 --psk-file "$tmp/psk" "$addr" "$tmp/s.kv"
ok 'the receiver says 5'	status 5 ended
recv --into "$tmp/l"
bad control-flip 150
ok 'control damaged is an error'	sh -c "kvsend -q '$addr' '$tmp/s.kv'; [ \$? -ge 3 ]"
kill "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
ok 'nothing wrong is stored'	kvstat verify -q "$tmp/l"

recv --into "$tmp/rec"
bad record "$tmp/lane"
ok 'a transfer that somebody writes down'	status 0 kvsend --lanes 1 "$addr" "$tmp/s.kv"
ended
recv --into "$tmp/replay"
ok 'replayed to the next receiver'	python3 - "${addr##*:}" "$tmp/lane" <<'PY'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try:
    s.sendall(open(sys.argv[2], "rb").read())
    s.recv(1)
except OSError:
    pass
PY
ok 'stores nothing'		sh -c "[ -z \"\$(find '$tmp/replay' -name '*.safetensors')\" ]"
ok 'an honest sender does'	status 0 kvsend "$addr" "$tmp/s.kv"
ended
ok 'and the reason was told'	grep -q 'a lane of no session' "$tmp/err"

# ---- bad inputs ----
head -c 300000 "$tmp/s.kv" >"$tmp/cut.kv"
recv
ok 'a truncated stream is 4'	status 4 sh -c "cat '$tmp/cut.kv' | kvsend -q '$addr'"
ok 'the receiver says 4'	status 4 ended
ok 'and what it wrote is aborted'	status 4 kvget - <"$tmp/out"
python3 - "$tmp/s.kv" "$tmp/bad.kv" <<'PY'
import sys
b = bytearray(open(sys.argv[1], "rb").read())
b[-5000] ^= 1			# in the last chunk's payload, before the end record
open(sys.argv[2], "wb").write(b)
PY
recv --into "$tmp/n"
ok 'a damaged chunk is an error'	sh -c "kvsend -q '$addr' <'$tmp/bad.kv'; case \$? in 3|4) ;; *) exit 1; esac"
ok 'the receiver says 3'	status 3 ended
ok 'nothing wrong is stored'	kvstat verify -q "$tmp/n"
is 'the others are there' "$(find "$tmp/n" -name '*.safetensors' | wc -l)" $((chunks - 1))

# ---- strangers ----
recv --into "$tmp/o"
port=${addr##*:}
ok 'garbage of all kinds'	python3 - "$port" <<'PY'
import os, socket, struct, sys
port = int(sys.argv[1])
def say(*parts):
    s = socket.create_connection(("127.0.0.1", port))
    for p in parts:
        try:
            s.sendall(p)
        except OSError:
            break
    s.close()
def msg(t, body):
    return struct.pack("<II", t, len(body)) + body
hello = msg(1, struct.pack("<IIIIQ", 1, 3, 1, 16, 1 << 30) + bytes(16) + struct.pack("<H", 1) + b"x")
say(os.urandom(4096))
say(b"GET / HTTP/1.1\r\n\r\n")
say(b"KVWIRE\x02\n")
say(b"KVWIRE\x01\n", struct.pack("<II", 1, 0xffffffff))
say(b"KVWIRE\x01\n", msg(77, b""))
say(b"KVWIRE\x01\n", hello, msg(3, struct.pack("<II", 9, 1)))
say(b"KVWIRE\x01\n", hello[:-3])
say(b"KVLANE\x01\n", os.urandom(24))
say(b"KVLANE\x01\n")
for i in range(200):
    say(b"" if i % 2 else b"K")
PY
ok 'another major version is told so'	python3 - "$port" <<'PY'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"KVWIRE\x02\n")
b = b""
while len(b) < 8:
    b += s.recv(8 - len(b))
sys.exit(b != b"KVWIRE\x01\n")
PY
ok 'an honest sender afterwards'	status 0 kvsend "$addr" "$tmp/s.kv"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/o"
cat >"$tmp/v2.py" <<'PY'
import socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(1)
open(sys.argv[1], "w").write("127.0.0.1:%d\n" % s.getsockname()[1])
c, _ = s.accept()
c.sendall(b"KVWIRE\x02\n")
c.recv(100)
PY
rm -f "$tmp/port"
python3 "$tmp/v2.py" "$tmp/port" &
pids="$pids $!"
await "$tmp/port"
ok 'a peer of another major version is 4'	status 4 kvsend "$(cat "$tmp/port")" "$tmp/s.kv"

# ---- signals and death ----
recv --into "$tmp/p"
kvget -q "$gen" | kvsend -q --bwlimit 1M "$addr" 2>/dev/null &
sender=$!
sleep 0.3
kill -9 "$pid"
ok 'a receiver that is killed: 5 or 3'	sh -c "true"
rc=0
wait "$sender" || rc=$?
is 'the sender says so' "$(case $rc in 3|5) echo yes;; *) echo $rc;; esac)" yes
recv --into "$tmp/p"
ok 'a second run finishes'	status 0 kvsend "$addr" "$tmp/s.kv"
ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/p"
recv --into "$tmp/q"
kvsend -q --bwlimit 1M "$addr" "$tmp/s.kv" &
sender=$!
sleep 0.3
kill -9 "$sender"
ok 'a sender that is killed: the receiver says 5'	status 5 ended
recv --into "$tmp/q"
sleep 9 | sh -c 'echo $$ >"$2"; exec kvsend -q "$1"' sh "$addr" "$tmp/sender" &
sleep 0.5
kill -TERM "$(cat "$tmp/sender")"
ok 'one that is ended as it waits for its input: 5 too'	status 5 ended
is 'and why' "$(grep -c ': the other end: .*stopped by a signal$' "$tmp/err")" 1
recv --serve
kill -TERM "$pid"
ok 'TERM ends --serve by the signal'	status 143 ended

# ---- sockets of systemd ----
cat >"$tmp/activate.py" <<'PY'
import os, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(8)
open(sys.argv[1], "w").write("127.0.0.1:%d\n" % s.getsockname()[1])
if s.fileno() != 3:
    os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"] = "1"
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp("kvrecv", ["kvrecv", "-q", "--listen", "fd", "--into", sys.argv[2]])
PY
rm -f "$tmp/port"
python3 "$tmp/activate.py" "$tmp/port" "$tmp/u" &
pid=$!
await "$tmp/port"
ok 'an inherited socket'	status 0 kvsend "$(cat "$tmp/port")" "$tmp/s.kv"
ok 'the receiver ends well'	ended
ok 'the stores are equal'	same "$tmp/a" "$tmp/u"
finish
