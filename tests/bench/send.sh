#!/bin/sh
# kvsend and kvrecv on one host, against what else moves bytes. Every pair alternates; medians of
# RUNS. SIZE is of the stream in tmpfs (default 2G; the target's figure is of 8G). PARTS chooses
# among tcp tls shm disk latency, DISK among warm comes synced, see timed.
. "${0%/*}/lib.sh"
: "${SIZE:=2G}" "${OUT:=${KVTOOLS_OUT:-out}}" "${PARTS:=tcp tls shm disk latency}" "${DISK:=warm}"
shm=$(mktemp -d /dev/shm/kvtools.bench.XXXXXX)
trap 'rm -rf "$tmp" "$shm"' EXIT
has() { command -v "$1" >/dev/null 2>&1; }
part() { case " $PARTS " in *" $1 "*) ;; *) false ;; esac; }

case $SIZE in
*G) tokens=$((${SIZE%G} * 8192)) ;;
*M) tokens=$((${SIZE%M} * 8)) ;;
*) echo "send.sh: SIZE like 2G or 512M" >&2; exit 2 ;;
esac
kvget -q "gen:llama-3.1-8b?tokens=$tokens&seed=1" >"$shm/s.kv"
bytes=$(stat -c %s "$shm/s.kv")
cat "$shm/s.kv" >/dev/null

# one ADDR OPTIONS...: bytes/s that kvsend reports from a file to a checking null sink
one() {
	one_at=$1
	shift
	rm -f "$tmp/ready"
	kvrecv -q --listen "$one_at" --ready-file "$tmp/ready" --into null: "$@" &
	while [ ! -s "$tmp/ready" ]; do sleep 0.02; done
	kvsend --json "$@" "$(cat "$tmp/ready")" "$shm/s.kv" 2>&1 |
		sed -n 's/.*"bytes_per_s":\([0-9]*\).*/\1/p'
	wait
}

iperf() {
	iperf3 -s -1 -p 5733 >/dev/null 2>&1 &
	sleep 0.3
	iperf3 -J -c 127.0.0.1 -p 5733 -n "$bytes" "$@" | python3 -c '
import json, sys
print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"] / 8))'
	wait
}

seconds_to_rate() { awk -v b="$bytes" -v ns="$1" 'BEGIN { printf "%d\n", b / ns * 1e9 }'; }

# versus 'what' 'ours' 'peer' 'its': rates in bytes/s, medians, ratio
versus() {
	: >"$tmp/.a"
	: >"$tmp/.b"
	versus_i=0
	while [ $versus_i -lt "$RUNS" ]; do
		eval "$2" >>"$tmp/.a"
		eval "$4" >>"$tmp/.b"
		versus_i=$((versus_i + 1))
	done
	awk -v what="$1" -v peer="$3" -v a="$(median "$tmp/.a")" -v b="$(median "$tmp/.b")" 'BEGIN {
		printf "%-43s %7.0f MB/s   %-28s %7.0f MB/s   %.2f x\n", what, a / 1e6, peer, b / 1e6, a / b }'
}

echo "stream of $SIZE in tmpfs, chunks of 32 MiB, digests and acknowledgements included"
if part tcp && has iperf3; then
	for n in 1 2 4; do
		versus "tcp, $n connections" "one 127.0.0.1:0 --lanes $n" "iperf3 -P $n" "iperf -P $n"
	done
	versus 'tcp, 2 connections' 'one 127.0.0.1:0 --lanes 2' 'iperf3 -P 2 --zerocopy' 'iperf -P 2 --zerocopy'
fi

if part tls && has socat && has openssl; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$tmp/k" \
		-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -days 2 -out "$tmp/c" 2>/dev/null
	cat "$tmp/k" "$tmp/c" >"$tmp/both"
	socat_tls() {
		socat -u -b 1048576 "OPENSSL-LISTEN:5734,reuseaddr,bind=127.0.0.1,cert=$tmp/both,cafile=$tmp/c" \
			OPEN:/dev/null 2>/dev/null &
		sleep 0.3
		seconds_to_rate "$(ns "socat -u -b 1048576 OPEN:$shm/s.kv \
			OPENSSL:127.0.0.1:5734,cert=$tmp/both,cafile=$tmp/c,verify=1,commonname=localhost")"
		wait
	}
	for n in 1 2; do
		versus "TLS 1.3, $n connections" \
			"one 127.0.0.1:0 --lanes $n --tls --cert $tmp/c --key $tmp/k --ca $tmp/c" \
			'socat OPENSSL' socat_tls
	done
fi

if part shm; then
	versus 'shared memory' "one unix://$tmp/sock" 'cp in tmpfs' \
		"seconds_to_rate \$(ns 'cp $shm/s.kv $shm/copy; rm $shm/copy')"
	versus 'shared memory' "one unix://$tmp/sock" 'kvget | kvput null:' \
		"seconds_to_rate \$(ns 'kvget -q - <$shm/s.kv | kvput -q null:')"
	rm -f "$shm/copy"
fi

# disk to disk
ours() { # --direct or nothing
	# shellcheck disable=SC2086
	(kvrecv -q --listen 127.0.0.1:0 --ready-file "$tmp/ready" | kvput -q $1 "$tmp/b") &
	while [ ! -s "$tmp/ready" ]; do sleep 0.02; done
	kvget -q "$tmp/a" | kvsend -q "$(sed "s,^tcp://,," "$tmp/ready")"
	wait
}
direct() { # the same
	# shellcheck disable=SC2086
	kvrecv -q --listen 127.0.0.1:0 --ready-file "$tmp/ready" $1 --into "$tmp/b" &
	while [ ! -s "$tmp/ready" ]; do sleep 0.02; done
	kvsend -q "$(cat "$tmp/ready")" --from "$tmp/a"
	wait
}
listening() { # port
	until grep -q "$(printf ':%04X .* 0A ' "$1")" /proc/net/tcp; do sleep 0.01; done
}
tar_socat() {
	mkdir "$tmp/b"
	(socat -u -b 1048576 TCP-LISTEN:5735,reuseaddr,bind=127.0.0.1 - | tar -x -C "$tmp/b") &
	listening 5735
	tar -c -C "$tmp/a" . | socat -u -b 1048576 - TCP:127.0.0.1:5735
	wait
}
tar_mbuffer() {
	mkdir "$tmp/b"
	(mbuffer -q -I 127.0.0.1:5736 -m 64M | tar -x -C "$tmp/b") &
	listening 5736
	tar -c -C "$tmp/a" . | mbuffer -q -m 64M -O 127.0.0.1:5736
	wait
}
rsync_whole() {
	rsync -a --whole-file "$tmp/a/" "$tmp/b/"
}
# The time that is rate: functions run here, not in a shell of their own. What others wrote is on
# the disk before, and memory is warm, lib.sh; or it is as it comes; or what is written is on the
# disk after it, too.
: "${WARM:=$((2 * bytes))}"
timed() {
	rm -rf "$tmp/b" "$tmp/ready"
	[ "$form" = comes ] || { sync; warm; }
	timed_t=$(date +%s%N)
	"$@" >/dev/null
	[ "$form" != synced ] || sync -f "$tmp/b"
	seconds_to_rate $(($(date +%s%N) - timed_t))
}
if part disk; then
	kvput -q "$tmp/a" "$shm/s.kv"
	for form in $DISK; do
		echo "disk to disk, $form"
		for how in '' --direct; do
			has socat && versus "kvget|kvsend -> kvrecv|kvput $how" "timed ours $how" \
				'tar | socat' 'timed tar_socat'
			has mbuffer && versus "kvget|kvsend -> kvrecv|kvput $how" "timed ours $how" \
				'tar | mbuffer' 'timed tar_mbuffer'
			has rsync && versus "kvget|kvsend -> kvrecv|kvput $how" "timed ours $how" \
				'rsync --whole-file' 'timed rsync_whole'
			has rsync && versus "kvsend --from -> kvrecv $how --into" "timed direct $how" \
				'rsync --whole-file' 'timed rsync_whole'
		done
	done
fi

# one chunk of 64 KiB, connected: from the offer to the acknowledgement, ms
: >"$tmp/.a"
: >"$tmp/.b"
i=0
while part latency && [ $i -lt "$RUNS" ]; do
	rm -f "$tmp/ready"
	kvrecv -q --listen 127.0.0.1:0 --ready-file "$tmp/ready" --into null: &
	while [ ! -s "$tmp/ready" ]; do sleep 0.02; done
	kvsend --latency --size 64K --json "$(cat "$tmp/ready")" 2>&1 |
		sed -n 's/.*"p50_s":\([0-9.]*\).*/\1/p' >>"$tmp/.a"
	wait
	"$OUT/bench/pingpong" 65536 1000 >>"$tmp/.b"
	i=$((i + 1))
done
part latency && awk -v a="$(median "$tmp/.a")" -v b="$(median "$tmp/.b")" 'BEGIN {
	printf "%-43s %7.3f ms     %-28s %7.3f ms     %.2f x\n", "one chunk of 64 KiB", a * 1e3, "ping-pong of 64 KiB", b, a * 1e3 / b }'
true
