#!/bin/sh
# Redis as a store and as an index: values of tens of MiB, listings, use counts. Wall and CPU
# seconds of the client, medians of alternating runs; the server is the same for both.
#   N=64 KEYS=1000000 USES=1000000 redis.sh
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/lib.sh"
here=$(cd "${0%/*}" && pwd)
: "${N:=32}" "${KEYS:=200000}" "${USES:=1000000}"
for p in redis-server redis-benchmark redis-cli python3 cc; do
	command -v $p >/dev/null || { echo "redis: $p not here"; exit 0; }
done
cc -O2 -o "$tmp/hiredis" "$here/peer/hiredis.c" -lhiredis -lpthread 2>/dev/null ||
	{ echo 'redis: libhiredis-dev not here'; exit 0; }
bench=${KVTOOLS_OUT:-out}/bench/redis
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --unixsocket "$tmp/sock" --save '' --appendonly no \
	--dir "$tmp" >/dev/null &
server=$!
trap 'kill $server; rm -rf "$tmp"' EXIT
until redis-cli -p "$port" PING >/dev/null 2>&1; do sleep 0.05; done
cli() { redis-cli -p "$port" "$@"; }

# "wall cpu n" of redis-benchmark with these arguments
rbench() {
	bash -c 'TIMEFORMAT="%R %U %S"; time redis-benchmark "$@" >/dev/null' x -p "$port" "$@" 2>&1 |
		awk '{ printf "%.4f %.4f 0\n", $1, $2 + $3 }'
}

# versus WHAT BYTES OURS PEER-NAME PEER...: bytes 0 counts operations instead
versus() {
	v_what=$1 v_amount=$2 v_unit=$3 v_ours=$4 v_peer=$5 v_theirs=$6
	: >"$tmp/a"
	: >"$tmp/b"
	v_i=0
	while [ "$v_i" -lt "$RUNS" ]; do
		eval "$v_ours" >>"$tmp/a"
		eval "$v_theirs" >>"$tmp/b"
		v_i=$((v_i + 1))
	done
	for v_f in a b; do
		awk '{ print $1 }' "$tmp/$v_f" >"$tmp/w$v_f"
		awk '{ print $2 }' "$tmp/$v_f" >"$tmp/c$v_f"
	done
	awk -v what="$v_what" -v peer="$v_peer" -v n="$v_amount" -v unit="$v_unit" \
		-v a="$(median "$tmp/wa")" -v b="$(median "$tmp/wb")" -v c="$(median "$tmp/ca")" \
		-v d="$(median "$tmp/cb")" 'BEGIN {
		printf "%-22s %7.3f s %8.0f %s  cpu %6.3f   %-16s %7.3f s %8.0f %s  cpu %6.3f   %5.2f x, cpu %5.2f x\n",
			what, a, n / a, unit, c, peer, b, n / b, unit, d, b / a, (d > 0 ? c / d : 0) }'
}

echo "redis: $(redis-server --version | sed 's/ sha.*//'), $N values, median of $RUNS"
for mib in 8 32; do
	bytes=$((mib << 20))
	total=$((mib * N))
	for way in put get; do
		word=$([ $way = put ] && echo set || echo get)
		for jobs in 1 4; do
			versus "$way $mib MiB x$jobs" $total MB/s "$bench $way redis://127.0.0.1:$port $bytes $N $jobs" \
				hiredis "$tmp/hiredis $way 127.0.0.1 $port $bytes $N $jobs"
		done
		versus "$way $mib MiB x4" $total MB/s "$bench $way redis://127.0.0.1:$port $bytes $N 4" \
			redis-benchmark "rbench -t $word -d $bytes -n $N -c 4"
		versus "$way $mib MiB x4 socket" $total MB/s "$bench $way redis+unix://$tmp/sock $bytes $N 4" \
			hiredis "$tmp/hiredis $way $tmp/sock 0 $bytes $N 4"
	done
done
cli FLUSHALL >/dev/null

awk -v n="$KEYS" 'BEGIN { for (i = 0; i < n; i++) printf "SET model/bf16-tp1-r0/chunk:%d 0123456789\r\n", i }' |
	cli --pipe >/dev/null
their_scan() {
	bash -c 'TIMEFORMAT="%R %U %S"; time redis-cli -p "$1" --scan | sed "s/^/STRLEN /" |
		redis-cli -p "$1" --pipe >/dev/null' x "$port" 2>&1 | awk '{ printf "%.4f %.4f 0\n", $1, $2 + $3 }'
}
versus "list $KEYS keys" "$KEYS" keys/s "$bench list redis://127.0.0.1:$port" 'cli --scan+STRLEN' their_scan
cli FLUSHALL >/dev/null

# Uses of names that are known, as those of an index mostly are, with various times and counts.
our_uses="$bench index redis://127.0.0.1:$port 100000 $USES 4"
their_uses="rbench -n $USES -r 100000 -P 500 -c 4 -q HINCRBY e:__rand_int__ hits 1"
eval "$bench fill redis://127.0.0.1:$port 100000; $their_uses" >/dev/null
versus "$USES uses x4" "$USES" uses/s "$our_uses" 'hincrby -P 500' "$their_uses"
