#!/bin/sh
# The access log: kvget writes requests, kvstat sim replays them, kvstat index import counts them.
. "${0%/*}/lib.sh"
need /usr/bin/python3

cd "$tmp" || exit 1
for x in a b; do
	kvput -q s "$golden/$x.safetensors" --tokens "$golden/$x.tokens.json" \
		--geometry "$golden/config.json" --chunk-tokens 64
done
cp "$golden/a.tokens.json" "$golden/b.tokens.json" .
/usr/bin/python3 - <<'PY'
import json
a = json.load(open("a.tokens.json"))
json.dump(a[:320] + [7] * 130, open("half.json", "w"))		# 5 of 7 chunks are there
json.dump([9] * 200, open("none.json", "w"))			# none of 3
json.dump([9] * 20, open("short.json", "w"))			# fills no chunk
PY
ask() { kvget -q s --chunk-tokens 64 --access-log log "$@" >out.kv 2>said; echo $?; }
check() { /usr/bin/python3 -c "import json, sys
v = [json.loads(l) for l in open('log')]
k = [x['keys'] for x in v]; f = [x['found'] for x in v]
assert $1, v"; }

is 'a prompt that is there' "$(ask --tokens a.tokens.json)" 0
is 'one that is there in part' "$(ask --tokens half.json)" 1
is 'one that is not' "$(ask --tokens none.json)" 1
is 'the other, and the first again' "$(ask --tokens b.tokens.json)$(ask --tokens a.tokens.json)" 00
is 'one of no chunk' "$(ask --tokens short.json)" 0
is 'a line a request, and nothing said' "$(wc -l <log) $(cat said)" '6 '
ok 'with all its chunks, there or not' check '[len(x) for x in k] == [9, 7, 3, 9, 9, 0]'
ok 'which says what was found' check 'f == [[1] * 9, [1] * 5 + [0] * 2, [0] * 3, [1] * 9, [1] * 9, []]'
ok 'prompts share their beginning' check 'k[0] == k[4] and k[0][:5] == k[1][:5] and k[0][5] != k[1][5]'
ok 'tokens of the prompt and of a chunk, bytes of one' check '[x["tokens"] for x in v] == [600, 450, 200, 580, 600, 20] and \
	{x["chunk_tokens"] for x in v} == {64} and len({x["chunk_bytes"] for x in v if any(x["found"])}) == 1'
ok 'in order, now' check '[x["time"] for x in v] == sorted(x["time"] for x in v) and abs(v[0]["time"] - __import__("time").time()) < 100'
kvstat chain -o name --tokens a.tokens.json --chunk-tokens 64 --from s >names
is 'the names are those of the store' "$(/usr/bin/python3 -c "import json
print(*json.loads(open('log').readline())['keys'], sep='\n')")" "$(cat names)"

# 37 references, a and b share 4: by hand 5 + 4 + 9 again, with room for all; and an independent replay
hits() { kvstat sim -q "$@" --no-min --policy lru --json | sed -n 's/.*"hits":\([0-9]*\).*/\1/p'; }
is 'sim: room for all' "$(hits log --capacity 100)" 18
for room in 9 12 20 24; do
	is "sim: LRU with room for $room, as the oracle" "$(hits log --capacity $room)" \
		"$(/usr/bin/python3 "$here/oracle/sim.py" log $room | awk '$1 == "lru" { print $3 }')"
done
is 'sim: sizes need no model' "$(kvstat sim -q log --policy lru --capacity 1M --json | grep -c '"hit_ratio":')" 1
head -n 3 log >log.1
tail -n 3 log >log.2
is 'sim: a log that was rotated' "$(hits log.2 log.1 --capacity 12)" "$(hits log --capacity 12)"
kvstat sim -q log --emit >emitted
is 'sim: emitted and read again' "$(hits emitted --capacity 12)" "$(hits log --capacity 12)"
is 'and the same members' "$(/usr/bin/python3 -c "import json
print(sorted(set(json.loads(open('log').readline())) ^ set(json.loads(open('emitted').readline()))))")" "['found']"

# uses: of what was found, as kvget itself would have noted them
uses() { kvstat index export s --index "$1" | sed -n 's/.*"hits":\([0-9]*\),"hash":"\([0-9a-f]*\)".*/\2 \1/p' | sort; }
kvstat index rebuild -q s --index imported.db
ok 'import' kvstat index import -q s --index imported.db log
kvstat index rebuild -q s --index noted.db
for p in a.tokens half none b.tokens a.tokens short; do
	kvget -q s --chunk-tokens 64 --tokens $p.json --index noted.db >out.kv 2>said
done
is 'import: the uses that are noted' "$(uses imported.db)" "$(uses noted.db)"
is 'import: by hand' "$(uses imported.db | awk '{ print $2 }' | sort -n | uniq -c | tr -s ' \n' ' ')" ' 5 1 4 2 1 3 4 4 '
head -n 1 emitted >emitted.1
ok 'import: numbers are no names' status 4 kvstat index import -q s --index imported.db - <emitted.1

# ranks are one chunk; a chain; tiers; what is damaged
kvget -q 'gen:tiny?tokens=1024&tp=2' | kvput -q two
rm log
head=$(kvstat chain -o name two)
ok 'a chain of two ranks' kvget -q two --chain "$head" --access-log log -O out.kv
ok 'is four chunks' check 'len(k[0]) == 4 and f[0] == [1] * 4 and v[0]["chunk_tokens"] == 256 and "tokens" not in v[0]'
ok 'of both ranks together' check "v[0]['chunk_bytes'] * 4 == $(kvstat du --json two | sed -n 's/.*"bytes":\([0-9]*\).*/\1/p' | head -n 1)"
ok 'another number of ranks is the same request' sh -c "kvget -q two --chain $head --to-tp 1 --access-log log -O out.kv"
ok 'of the same chunks' check 'k[0] == k[1] and f[0] == f[1]'
second=$(/usr/bin/python3 -c "import json; print(json.loads(open('log').readline())['keys'][1])")
rm two/*/*/*/"$second"*
ok 'a chain with a gap' status 1 kvget -q two --chain "$head" --access-log log -O out.kv
ok 'has it as missing' check "k[2] == k[0][1:] and f[2] == [0, 1, 1]"
ok 'a chain whose end is not there' status 1 kvget -q two --chain "$second" --access-log log -O out.kv
ok 'is that one' check "k[3] == ['$second'] and f[3] == [0]"
rm log
ok 'tiers, one filled' kvget -q --from hot --from s --fill hot --tokens a.tokens.json --chunk-tokens 64 --access-log log
ok 'and now full' kvget -q --from hot --from s --fill hot --tokens a.tokens.json --chunk-tokens 64 --access-log log
ok 'the same request' check 'k[0] == k[1] and f[0] == f[1] == [1] * 9'
printf x | dd of="$(ls hot/*/*/*/"$(sed -n 4p names)"*)" bs=1 seek=9000 conv=notrunc 2>/dev/null
ok 'damaged' status 4 kvget -q hot --tokens a.tokens.json --chunk-tokens 64 --access-log log --keep-going -O out.kv
ok 'was not found' check 'f[2] == [1] * 3 + [0] + [1] * 5'
ok 'healed by the next tier' kvget -q --from hot --from s --tokens a.tokens.json --chunk-tokens 64 --access-log log -O out.kv
ok 'was' check 'f[3] == [1] * 9'
kvput -q 'lm?dialect=lmcache-mp-fs&chunk-tokens=64' "$golden/a.safetensors" --tokens a.tokens.json \
	--geometry "$golden/config.json" --chunk-tokens 64
ok "an engine's store" kvget -q 'lm?chunk-tokens=64' --tokens a.tokens.json --chunk-tokens 64 --access-log log -O out.kv \
	--geometry "$golden/config.json"
ok 'has the same names' check 'k[4] == k[0] and f[4] == f[0]'

ok 'a store that cannot be had' status 5 kvget -q redis://127.0.0.1:1 --retries 0 --tokens a.tokens.json --chunk-tokens 64 --access-log log -O out.kv
ok 'is asked all the same' check 'k[5] == k[0] and f[5] == [0] * 9'

# no request, no line; and a log that cannot be written stops nothing
ok 'a copy is no request' sh -c 'kvget s --access-log none.log -O out.kv 2>said && ! test -e none.log && grep -q "no request" said'
ok 'nor is a dry run' sh -c 'kvget -n s --tokens a.tokens.json --chunk-tokens 64 --access-log none.log && ! test -e none.log'
kvget -q s --tokens a.tokens.json --chunk-tokens 64 -O right.kv
for where in "$tmp/none/log" /dev/full "$tmp"; do
	ok "not to be written: ${where#"$tmp"}" sh -c "kvget -q s --tokens a.tokens.json --chunk-tokens 64 --access-log '$where' -O out.kv 2>said &&
		cmp out.kv right.kv && grep -q 'not logged' said"
done
mkfifo pipe
ok 'nor a pipe that nobody reads, at once' timeout 5 kvget -q s --tokens a.tokens.json --chunk-tokens 64 --access-log pipe -O out.kv
rm log
for i in 1 2 3 4 5 6 7 8; do
	kvget -q s --tokens a.tokens.json --chunk-tokens 64 --access-log log -O "o$i.kv" &
done
wait
ok 'many at once: whole lines' check 'len(v) == 8 and all(x == k[0] for x in k)'

# what was deleted, from kvevict's own log
kvstat index rebuild -q two --index two.db
kvevict -q two --max-chunks 1 --max-delete 100% --min-age 0 --audit-log audit >/dev/null
ok 'import of deletions' kvstat index import -q two --index two.db audit
ok 'which then are gone' kvstat index verify -q two --index two.db
finish
