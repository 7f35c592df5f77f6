#!/bin/sh
# The simulator against plain Python, the policies' speed, and plans for big stores.
# At the end auto's hit ratios against those of all others, of the trace and of workloads made up.
#   KVTOOLS_TRACE: a trace with hash_ids (Mooncake's conversation trace); else one is made up.
#   SEEDS=0,1,2 ROOMS=100,1000,10000	of those workloads
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/lib.sh"
here=$(cd "${0%/*}" && pwd)
out=${KVTOOLS_OUT:-$here/../../out}
trace=${KVTOOLS_TRACE:-}
: "${ENTRIES:=10000000}" "${SEEDS:=0}" "${ROOMS:=100,300,1000,3000,10000,30000,50000}"

if [ ! -r "$trace" ]; then
	trace=$tmp/made.jsonl
	"$out/kvstat" sim --gen chat,requests=12000,len=3000 --emit |
		sed 's/"keys"/"hash_ids"/' >"$trace"
fi
ours() { "$out/kvstat" sim -q "$trace" --policy lru --capacity 10000 --json; }
figure() { sed -n "s/.*\"$1\":\([0-9.]*\),.*/\1/p" "$tmp/ours"; }
ours >"$tmp/ours"
a="$(figure hit_ratio) $(figure prefix_hit_ratio) $(figure ceiling) $(figure min_hit_ratio)"
b=$(python3 "$here/peer/lru.py" "$trace" 10000 bound)
[ "$a" = "$b" ] || { echo "sim: we say $a, the peer says $b" >&2; exit 1; }
echo "sim: $(wc -l <"$trace") requests, LRU of 10000 blocks, hit ratio ${a%% *}, both"
TIMES=10
race 'LRU, ceiling, bound' "$out/kvstat sim -q $trace --policy lru --capacity 10000 --json >/dev/null" \
	'Python, all that' "python3 $here/peer/lru.py $trace 10000 bound >/dev/null"
race 'LRU alone' "$out/kvstat sim -q --no-min $trace --policy lru --capacity 10000 --json >/dev/null" \
	'Python' "python3 $here/peer/lru.py $trace 10000 >/dev/null"
for p in lru s3fifo arc gdsf auto; do
	"$out/bench/policy" access "$p"
done
for p in lru auto; do
	"$out/bench/policy" plan "$ENTRIES" "$p"
done
python3 "$here/auto.py" "$ROOMS" "$SEEDS" "$trace" chat docqa,docs=40,repeat=4 loop scan zipf rag code \
	code,requests=3000,len=20000 docqa,docs=200,len=10000,repeat=3
