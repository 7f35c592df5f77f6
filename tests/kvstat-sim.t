#!/bin/sh
# kvstat sim: formats, generators, policies against an independent replay, tiers, advice.
. "${0%/*}/lib.sh"

trace=$golden/sim/chat.jsonl
sim() { kvstat sim -q "$@"; }
field() { sed -n "s/.*\"$1\":\"*\\([^,\"}]*\\).*/\\1/p" | head -n 1; }

# The figures in figures.txt are tests/oracle/sim.py's.
sim "$trace" --chunk-tokens 256 --capacity 40,200,1000 --json --policy \
	2q,arc,fifo,gdsf,length-aware,lfu,lru,lru2,s3fifo,sieve,w-tinylfu >"$tmp/all"
sed -n 's/.*"policy":"\([^"]*\)","capacity":\([0-9]*\),.*"prefix_hit_ratio":\([0-9.]*\),.*"references":\([0-9]*\),"hits":\([0-9]*\),"min_hits":\([0-9]*\).*/\1 \2 \5 \3 \4 \6/p' "$tmp/all" |
	awk '{ printf "%s %s %s %d\n", $1, $2, $3, $4 * $5 + 0.5; print "min", $2, $6 }' |
	sort -u >"$tmp/got"
is 'eleven policies and the bound, three sizes' "$(cat "$tmp/got")" \
	"$(sort -u "$golden/sim/figures.txt")"
if command -v python3 >/dev/null 2>&1; then
	is 'the figures are the oracle'"'"'s' "$(head -n 12 "$golden/sim/figures.txt")" \
		"$(python3 "$here/oracle/sim.py" "$trace" 40)"
else
	skip 'no python3 to run the oracle'
fi

is 'LRU replays head first' "$(sim "$trace" --policy lru --capacity 100 --json | field order)" head
is 'ARC replays tail first' "$(sim "$trace" --policy arc --capacity 100 --json | field order)" tail
is 'order can be chosen' \
	"$(sim "$trace" --policy arc --order head --capacity 100 --json | field order)" head
is 'one result, one line' "$(sim "$trace" --policy lru --capacity 100 --json | wc -l | tr -d ' ')" 1
is 'its schema' "$(sim "$trace" --policy lru --capacity 100 --json | field schema)" kv.sim/1

# CPython's shuffle: documents renumbered as they first come.
docs() {
	sim --gen "docqa,len=256,$1" --emit | sed 's/.*"keys":\[\([0-9]*\)\].*/\1/' | tr '\n' ' '
}
renumber() {
	for d; do echo "$d"; done |
		awk '!($1 in n) { n[$1] = c + 0; c++ } { printf "%s ", n[$1] }'
}
is 'shuffle, seed 0' "$(docs docs=8,seed=0)" "$(renumber 2 6 5 1 1 2 3 3 5 7 0 4 0 6 7 4)"
is 'shuffle, seed 1' "$(docs docs=8,seed=1)" "$(renumber 2 2 0 6 6 5 3 0 7 3 7 1 4 5 1 4)"
is 'shuffle, seed 42' "$(docs docs=8,seed=42)" "$(renumber 7 1 5 6 6 2 4 0 1 2 5 7 4 3 0 3)"
is 'shuffle, 3 documents' "$(docs docs=3,seed=0)" "$(renumber 1 2 1 0 2 0)"
is 'tile' "$(docs docs=3,mode=tile)" '0 1 2 0 1 2 '
is 'interleave' "$(docs docs=3,mode=interleave)" '0 0 1 1 2 2 '
sim --gen chat,requests=2000,rate=.1 --emit | sed 's/.*"time":\([0-9.]*\).*/\1/' >"$tmp/times"
ok 'chats come until the end' awk '{ t[NR] = $1; order += $1 < t[NR - 1] } END {
	exit !(NR == 2000 && !order && t[2000] - t[1800] < 1.5 * (t[1200] - t[1000])) }' "$tmp/times"

# Ten documents of 20000 tokens thrice: 78 full chunks each, 2/3 can hit.
kvstat sim --gen docqa,docs=10,len=20000,repeat=3,mode=tile --model llama-3.1-70b \
	--tier ram=20G,lru --tier nvme=100G,lru --tier s3=2TB,cost --json >"$tmp/tiers" 2>"$tmp/note"
ok 'what the trace is' grep -q '30 requests, 600000 tokens, 780 distinct blocks, 60.9 GiB' "$tmp/note"
is 'RAM alone thrashes' "$(sed -n 1p "$tmp/tiers" | field hit_ratio)" 0.000000
is 'with NVMe two passes of three hit' "$(sed -n 2p "$tmp/tiers" | field hit_ratio)" 0.666667
is 'by tier' "$(sed -n 3p "$tmp/tiers" | field by_tier)" '0.0 / 66.7 / 0.0'
is 'tokens count the tails' "$(sed -n 3p "$tmp/tiers" | field token_hit_ratio)" 0.6656
is 'bytes read' "$(sed -n 2p "$tmp/tiers" | field bytes_read)" 130862284800
ok 'advice: the NVMe is enough' grep -q '"advice":"run ram:lru+nvme:lru ' "$tmp/tiers"

sim --gen docqa,docs=10,len=25600,repeat=2,mode=tile --capacity 1000 --policy lru --chunk-bytes 1G \
	--gpu-cost 3 --gpus 8 --prefill-tps 1000 --json >"$tmp/cost"
is 'GPU hours saved: 256000 tokens on 8' "$(field compute_hours_saved <"$tmp/cost")" 0.569
is 'and their price' "$(field cost_savings_usd <"$tmp/cost")" 1.71
sim --gen docqa,docs=10,len=25600,repeat=2,mode=tile --chunk-bytes 1G --prefill-tps 1000 \
	--tier s3=2T,lru,rate=10GB/s,price=0.02 --json >"$tmp/cost"
is 'loading takes time' "$(field load_seconds <"$tmp/cost")" 107.374
is 'and room costs money' "$(field storage_usd_month <"$tmp/cost")" 40.96
paid() { sim --gen docqa,docs=10,len=25600,repeat=2,mode=tile --chunk-bytes 1G "$@" \
	--tier "ram=200G,lru,rate=100GB/s" --tier "s3=2T,lru,rate=10GB/s"; }
paid --prefill-tps 1000000 --json >"$tmp/slow"
paid --prefill-tps 100 --json >"$tmp/fast"
ok 'advice goes by what is saved: none, where reading is slower'	grep -q '"advice":"run none' "$tmp/slow"
ok '... and all, where computing is'	grep -q '"advice":"run ram:lru+s3:lru ' "$tmp/fast"
is 'what is saved is shown to who asks'	"$(paid --prefill-tps 100 2>/dev/null | head -n 1 | awk -F'\t' '{ print NF }')" \
	"$(($(paid 2>/dev/null | head -n 1 | awk -F'\t' '{ print NF }') + 4))"
is 'admission at the second sight' "$(sim --gen docqa,docs=10,len=2560,repeat=3,mode=tile \
	--tier ram=1000,lru,admit=2 --json | field hit_ratio)" 0.333333

# LMCache's lookup log, two files out of order; 2 x 4 x 256 x 64 bf16 elements a chunk.
cat >"$tmp/b.jsonl" <<'J'
{"timestamp": 20.5, "request_id": "r2", "model_name": "m", "chunk_size": 256, "seq_len": 600, "dtypes": ["bfloat16"], "shapes": [[2, 4, 256, 64]], "chunk_hashes": ["0xaa", "0xbb"]}
J
cat >"$tmp/a.jsonl" <<'J'
{"timestamp": 10.5, "request_id": "r1", "model_name": "m", "chunk_size": 256, "seq_len": 512, "dtypes": ["bfloat16"], "shapes": [[2, 4, 256, 64]], "chunk_hashes": ["0xaa", "0xcc"]}

{"timestamp": 30, "request_id": "r3", "x": {"y": [1, {"z": null}], "w": "\"]"}, "chunk_size": 256, "seq_len": 512, "chunk_hashes": ["0xaa", "0xbb"]}
J
sim "$tmp/b.jsonl" "$tmp/a.jsonl" --policy lru --capacity 1M --json >"$tmp/lm"
is 'a size in blocks of the trace'"'"'s own bytes' "$(field capacity <"$tmp/lm")" 4
is 'arrival order over files' "$(field hits <"$tmp/lm")" 3
is 'tokens as LMCache counts them' "$(field token_hit_ratio <"$tmp/lm")" 0.472906404
ok 'one is one' sh -c "kvstat sim --gen scan,requests=1,len=256 --capacity 10 --policy lru 2>&1 >/dev/null |
	grep -q '1 request, 256 tokens, 1 distinct block,'"
is 'our own lines read back' "$(sim --gen chat,requests=50 --emit | sim - --policy lru --capacity 50 --json |
	field hit_ratio)" "$(sim --gen chat,requests=50 --policy lru --capacity 50 --json | field hit_ratio)"

# What is replayed while it comes in, now faster than the policies, now slower, is the same.
sim --gen chat,requests=5000 --emit >"$tmp/chats"
slowly() {
	head -n 2 "$tmp/chats"; sleep .2
	head -n 3000 "$tmp/chats" | tail -n +3; sleep .2
	tail -n +3001 "$tmp/chats"
}
is 'a trace that comes slowly' "$(slowly | sim - --policy lru,arc,auto --capacity 100,1000 --json)" \
	"$(sim --gen chat,requests=5000 --policy lru,arc,auto --capacity 100,1000 --json)"
if command -v taskset >/dev/null 2>&1; then
	core=$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')
	is 'on one core' \
		"$(taskset -c "$core" kvstat sim -q "$tmp/chats" --policy lru,auto --capacity 100 --json)" \
		"$(sim --gen chat,requests=5000 --policy lru,auto --capacity 100 --json)"
else
	skip 'no taskset to run on one core'
fi
{ slowly; echo '{"keys":[}'; } | sim - --policy lru,arc,auto --capacity 100,1000 >"$tmp/none" 2>"$tmp/err"
is 'and is broken at its end' "$? $(cat "$tmp/none" "$tmp/err")" \
	'4 kvstat: -:5001: not a request of a known trace format'

is 'sweep doubles' "$(sim "$trace" --policy lru --sweep 100..500 -o tsv | cut -f 2 | tr '\n' ' ')" \
	'100 200 400 500 '
sim "$trace" --policy lru,auto --sweep 100..800 --plot "$tmp/p.gp" -o tsv >/dev/null
kvstat sim "$trace" --policy auto,lru --capacity 100 --plot "$tmp/absent/p.gp" --json >"$tmp/noplot" 2>&1
is 'a plot that cannot be' "$? $(grep -c '"exit":"usage"' "$tmp/noplot") $(grep -c kv.sim/1 "$tmp/noplot")" '2 1 2'
ok 'a plot with a line a policy' grep -q "title 'auto'" "$tmp/p.gp"
if command -v gnuplot >/dev/null 2>&1; then
	ok 'gnuplot takes it' gnuplot -e 'set terminal dumb' "$tmp/p.gp"
fi
for kind in chat rag code scan loop zipf; do
	ok "auto is near LRU or above: $kind" sh -c "kvstat sim -q --no-min --gen $kind,seed=1 \
		--policy lru,auto --capacity 2000 -o tsv | cut -f 1,4 | tr '\n' ' ' |
		awk '{ exit !(\$4 >= 0.98 * \$2) }'"
done
# small caches: few reuses, requests nearly as long as the room
while read -r room gen; do
	ok "auto is near LRU or above: $room blocks, $gen" sh -c "kvstat sim -q --no-min --gen $gen \
		--policy lru,auto --capacity $room -o tsv | cut -f 1,4 | tr '\n' ' ' |
		awk '{ exit !(\$4 >= 0.98 * \$2) }'"
done <<-G
	200 docqa,docs=50,len=20000,repeat=3,seed=1
	50 docqa,docs=100,len=2560,repeat=5,seed=1
	100 docqa,docs=8,len=20000,repeat=10,seed=0
	100 docqa,docs=60,len=20000,repeat=4,mode=interleave
	200 chat,requests=4000,len=3000,turns=2,rate=.3,seed=0
	500 chat,requests=4000,len=3000,turns=2,rate=.3,seed=0
G
# caches of one to four prompts; in a loop LRU has nothing, and knows it only from what returns
while read -r room other gen; do
	ok "auto is not below $other: $room blocks, $gen" sh -c "kvstat sim -q --no-min --gen $gen \
		--policy $other,auto --capacity $room -o tsv | cut -f 1,4 | tr '\n' ' ' |
		awk '{ exit !(\$2 > 0 && \$4 >= 0.95 * \$2) }'"
done <<-G
	1000 arc code,requests=2000,len=20000,seed=1
	2000 s3fifo code,requests=2000,len=20000,seed=1
	200 w-tinylfu code,requests=2000,seed=1
	1000 w-tinylfu loop,docs=40,len=8000,requests=2000
	200 w-tinylfu loop,docs=40,len=8000,requests=2000
G

ok 'no such policy is 2'	status 2 kvstat sim "$trace" --policy mru --capacity 10
ok 'no room is 2'		status 2 kvstat sim "$trace" --policy lru
ok 'capacity 0 is 2'		status 2 kvstat sim "$trace" --capacity 0
ok 'a size without bytes is 2'	status 2 kvstat sim "$trace" --capacity 1G
ok 'no trace is 2'		status 2 kvstat sim --capacity 10
ok 'an absent trace is 2'	status 2 kvstat sim "$tmp/absent" --capacity 10
ok 'a wrong generator is 2'	status 2 kvstat sim --gen tea --capacity 10
ok 'a huge generator is 2'	status 2 kvstat sim --gen scan,requests=1000000000 --capacity 10
printf '{"hash_ids":[1,2}\n' >"$tmp/bad"
ok 'a broken line is 4'		status 4 kvstat sim "$tmp/bad" --capacity 10
printf '{"hash_ids":[1]}\n{"time":"x"}\n' >"$tmp/bad"
ok 'and is named'		sh -c "kvstat sim '$tmp/bad' --capacity 10 2>&1 | grep -q 'bad:2'"
: >"$tmp/empty"
ok 'an empty trace is 4'	status 4 kvstat sim "$tmp/empty" --capacity 10
awk 'BEGIN { printf "{\"a\":"; for (i = 0; i < 100000; i++) printf "["; print "" }' >"$tmp/deep"
ok 'depth is bounded'		status 4 kvstat sim "$tmp/deep" --capacity 10

# Mooncake's conversation trace is not ours to ship: its published figures, when it is here.
if [ -r "${KVTOOLS_TRACE:-}" ]; then
	real() {
		sim "$KVTOOLS_TRACE" --no-min --policy "$1" --capacity 1000,3000,10000,30000,50000,100000 \
			--json | sed -n 's/.*"hit_ratio":\([0-9.]*\),"prefix.*/\1/p' |
			awk '{ printf "%s%.4f", s, $1; s = " " }'
	}
	while read -r name figures; do
		is "conversation trace: $name" "$(real "$name")" "$figures"
	done <<-F
	fifo 0.0435 0.0631 0.1865 0.3021 0.3400 0.3593
	lru 0.0445 0.0650 0.2112 0.3257 0.3546 0.3637
	lfu 0.0481 0.0747 0.1318 0.2759 0.3438 0.3631
	gdsf 0.0447 0.0705 0.2170 0.3284 0.3548 0.3631
	length-aware 0.0504 0.0669 0.1123 0.2028 0.2602 0.3345
	lru2 0.0743 0.1329 0.2153 0.2793 0.3430 0.3631
	2q 0.0541 0.0803 0.1848 0.3061 0.3423 0.3593
	arc 0.0529 0.0858 0.2225 0.3108 0.3433 0.3631
	s3fifo 0.0556 0.0875 0.1955 0.3061 0.3501 0.3625
	sieve 0.0481 0.0747 0.1318 0.2759 0.3438 0.3631
	w-tinylfu 0.0733 0.1142 0.1673 0.2293 0.2637 0.3073
	F
	# the best of the others at each size, either order of replay
	ok 'auto beats them all' sh -c "echo '$(real auto)' | awk '{ exit !(\$1 > .0745 &&
		\$2 > .1330 && \$3 > .2226 && \$4 > .3284 && \$5 > .3548 && \$6 > .3637) }'"
fi
finish
