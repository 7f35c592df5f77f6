#!/bin/sh
# kvsend and kvrecv between two network namespaces: loss, delay, a cut link, stalls, a full disk.
# shellcheck disable=SC2086,SC2046,SC2016,SC2154,SC2317
. "${0%/*}/lib.sh"
. "$here/peers.sh"
need ip tc

a=kvtools-a$$ b=kvtools-b$$
at_exit='for p in $pids; do kill -9 "$p" 2>/dev/null; done; wait; umount "$tmp/small" 2>/dev/null
	ip netns del $a 2>/dev/null; ip netns del $b 2>/dev/null'
net=10.$(($$ % 200 + 20)).77
if ! { ip netns add $a && ip netns add $b && ip link add v0 netns $a type veth peer name v0 netns $b &&
	ip -n $a addr add $net.1/24 dev v0 && ip -n $b addr add $net.2/24 dev v0 &&
	ip -n $a link set v0 up && ip -n $b link set v0 up && ip -n $a link set lo up &&
	ip -n $b link set lo up; } 2>/dev/null; then
	echo '1..0 # SKIP no network namespaces here'
	exit 0
fi
recv_at=$net.2:0 recv_in="ip netns exec $b"
in_a() { ip netns exec $a "$@"; }
in_b() { ip netns exec $b "$@"; }
netem() { ip netns exec $a tc qdisc replace dev v0 root netem "$@" 2>/dev/null; }

printf 'a secret of more than sixteen bytes\n' >"$tmp/psk"
chmod 600 "$tmp/psk"
export KVTOOLS_PSK_FILE="$tmp/psk"
kvget -q 'gen:tiny?tokens=64000&chunk-tokens=64&seed=1' >"$tmp/s.kv"
kvput -q "$tmp/s" "$tmp/s.kv"
kvget -q 'gen:tiny?tokens=6400&chunk-tokens=64&seed=2' >"$tmp/few.kv"
kvput -q "$tmp/few" "$tmp/few.kv"

partly() { partly_rc=0; "$@" || partly_rc=$?; case $partly_rc in 3|5) ;; *) echo "exit status $partly_rc"; return 1 ;; esac; }

recv
ok 'a thousand chunks'		sh -c "kvget -q '$tmp/s' | ip netns exec $a kvsend '$addr'"
ok 'the receiver ends well'	ended
ok 'the stream makes the same store'	sh -c "kvput -q '$tmp/t' '$tmp/out' && diff -r '$tmp/s' '$tmp/t'"
recv --into "$tmp/t" --json
ok 'a second run'		in_a kvsend "$addr" "$tmp/s.kv"
ended
is 'sends nothing' "$(sed -n 's/.*"had":\([0-9]*\).*"sent":\([0-9]*\).*/\1 \2/p' "$tmp/err")" '1000 0'

unset KVTOOLS_PSK_FILE
ok 'plain text beyond this host is 6'	status 6 in_b kvrecv --listen $net.2:0 --into null:
ok 'for who connects too'	status 6 in_a kvsend $net.2:1 "$tmp/few.kv"
recv --insecure --into "$tmp/plain"
ok 'unless it is asked for'	in_a kvsend --insecure "$addr" "$tmp/few.kv"
ended
ok 'the stores are equal'	same "$tmp/few" "$tmp/plain"
recv --insecure --allow $net.1/32 --into "$tmp/plain"
ok 'a peer that is allowed'	in_a kvsend --insecure "$addr" "$tmp/few.kv"
ended
export KVTOOLS_PSK_FILE="$tmp/psk"

if netem loss 1% delay 1ms; then
	recv --into "$tmp/lossy"
	ok 'one packet in a hundred lost'	in_a kvsend "$addr" "$tmp/few.kv"
	ended
	ok 'the stores are equal'	same "$tmp/few" "$tmp/lossy"
	netem delay 20ms
	recv --into "$tmp/far"
	ok '20 ms away'			in_a kvsend "$addr" --lanes 4 "$tmp/few.kv"
	ended
	ok 'the stores are equal'	same "$tmp/few" "$tmp/far"
	ip netns exec $a tc qdisc del dev v0 root
else
	skip 'no netem here'
fi

# the link is cut for longer than the ends have patience, and comes back
recv --into "$tmp/cut" --timeout 2s
in_a kvsend "$addr" --timeout 2s --bwlimit 4M "$tmp/few.kv" >/dev/null 2>&1 &
sender=$!
sleep 0.5
ip -n $a link set v0 down
ok 'a cut link is 5 or 3'	partly wait "$sender"
ok 'for the receiver 5'		status 5 ended
ip -n $a link set v0 up
ok 'nothing wrong is stored'	kvstat verify -q "$tmp/cut"
recv --into "$tmp/cut"
ok 'a second run finishes'	in_a kvsend "$addr" --retry "$tmp/few.kv"
ended
ok 'the stores are equal'	same "$tmp/few" "$tmp/cut"
recv --into "$tmp/back" --timeout 2s
in_a kvsend "$addr" --retry --timeout 2s --bwlimit 4M "$tmp/few.kv" >/dev/null 2>&1 &
sender=$!
sleep 0.5
ip -n $a link set v0 down
sleep 4
ip -n $a link set v0 up
ok 'with --retry it comes back'	wait "$sender"
ok 'the receiver ends well'	ended
ok 'the stores are equal'	same "$tmp/few" "$tmp/back"

# a receiver that stands still, and one whose reader does
recv --into "$tmp/stop"
in_a kvsend "$addr" --bwlimit 8M "$tmp/few.kv" >/dev/null 2>&1 &
sender=$!
sleep 0.2
kill -STOP "$pid"
sleep 3
kill -CONT "$pid"
ok 'a receiver that stood still'	wait "$sender"
ended
ok 'the stores are equal'	same "$tmp/few" "$tmp/stop"
mkfifo "$tmp/fifo"
rm -f "$tmp/ready"
ip netns exec $b kvrecv -q --listen $net.2:0 --ready-file "$tmp/ready" --mem 8M >"$tmp/fifo" &
pid=$!
pids="$pids $pid"
(sleep 3; cat >"$tmp/slow.kv") <"$tmp/fifo" &
while [ ! -s "$tmp/ready" ]; do sleep 0.02; done
kvget -q "$tmp/s" | ip netns exec $a kvsend -q --mem 8M "$(cat "$tmp/ready")" &
sender=$!
sleep 2
kb=$(awk '/VmHWM/ { print $2 }' "/proc/$sender/status")
is "a sender that waits holds little memory" "$([ "$kb" -lt 60000 ] && echo little || echo "$kb kB")" little
ok 'and goes on'		wait "$sender"
ok 'the receiver ends well'	ended
wait
ok 'it is the same stream'	cmp "$tmp/s.kv" "$tmp/slow.kv"

mkdir "$tmp/small"
if mount -t tmpfs -o size=2M none "$tmp/small" 2>/dev/null; then
	recv --into "$tmp/small"
	ok 'a full disk: the sender fails'	sh -c "ip netns exec $a kvsend -q '$addr' '$tmp/few.kv'; [ \$? -ge 3 ]"
	ok 'the receiver says 7'	status 7 ended
	ok 'with the reason'		grep -qi 'no space' "$tmp/err"
	ok 'nothing wrong is stored'	kvstat verify -q "$tmp/small"
	mount -o remount,size=64M "$tmp/small"
	recv --into "$tmp/small"
	ok 'with room a second run finishes'	in_a kvsend "$addr" "$tmp/few.kv"
	ended
	ok 'the stores are equal'	same "$tmp/few" "$tmp/small"
	umount "$tmp/small"
else
	skip 'cannot mount'
fi
finish
