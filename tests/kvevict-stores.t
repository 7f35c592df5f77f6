#!/bin/sh
# kvevict on stores that other engines write, on Redis, and with an index.
# shellcheck disable=SC2317	# functions called through ok
# shellcheck source=tests/lib.sh
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
old() { find "$1" -type f -exec touch -d "${2:-2 hours ago}" {} +; }
hash_of() { printf '%064x' "$1"; }

# LMCache's files: two ranks a chunk, one of them alone; a dead .pt; a temporary
mkdir lm
for i in 1 2 3 4 5 6 7 8; do
	for rank in 0 1; do
		head -c 1052 /dev/urandom >"lm/org-SEP-m@2@$rank@$(hash_of $i)@bfloat16.data"
	done
	touch -d "$((10 - i)) hours ago" lm/*"$(hash_of $i)"*
done
rm "lm/org-SEP-m@2@1@$(hash_of 4)@bfloat16.data"
kvevict lm --max-size 12624 -n >dry.txt 2>said
is 'says what it is, once' "$(grep -c 'lmcache-fs: ' said)" 1
ok 'and that parents are not known' grep -q 'by time alone' said
ok 'evicts' sh -c 'kvevict -q lm --max-size 12624 >real.txt; cmp dry.txt real.txt'
is 'the oldest two, both ranks' "$(find lm -type f | wc -l) $(cut -f 3 real.txt | tr '\n' ' ')" "11 $(hash_of 1) $(hash_of 2) "
ok 'no orphans where no parents are known' status 2 kvevict -q lm --unreachable
ok 'incomplete chunks' kvevict -q lm --incomplete
is 'are gone' "$(find lm -type f | wc -l)" 10
ok 'a name that could mean several deletes none' status 2 kvevict -q lm 000000 --max-delete 100%
is 'of them' "$(find lm -type f | wc -l)" 10
ok 'policies by use go by access times' kvevict -q lm --max-chunks 4 --policy lfu

mkdir pt
for i in 1 2 3; do head -c 1024 /dev/zero >"pt/org-m@1@0@$(hash_of $i)@bfloat16.pt"; done
touch -d '2001-01-01' "pt/org-m@1@0@$(hash_of 1)@bfloat16.pt" "pt/org-m@1@0@$(hash_of 2)@bfloat16.pt"
: >"pt/org-m@1@0@$(hash_of 2)@bfloat16.pt.meta"
is 'a .pt of another life' "$(kvevict -q 'pt?dialect=lmcache' --litter --max-delete 50% | cut -f 1,2)" 'delete	dead'
is 'others stay' "$(find pt -name '*.pt' | wc -l)" 2

# an index: uses, pins, leases; it forgets what is gone
kvget -q 'gen:tiny?tokens=512&chunk-tokens=32&seed=1' >a.kv
kvget -q 'gen:tiny?tokens=512&chunk-tokens=32&seed=2' >b.kv
export KVTOOLS_INDEX="$tmp/i.db"
kvput -q s a.kv; kvput -q s b.kv; old s '2 days ago'
head=$(kvput -q --index none --json null: a.kv | sed 's/.*"head":"\([0-9a-f]*\)".*/\1/')
kvget -q s --chain "$head" >/dev/null; kvget -q s --chain "$head" >/dev/null
old s '2 days ago'
ok 'lfu by the index' kvevict -q s --policy lfu --max-chunks 16 --max-delete 50% --min-age 0
ok 'keeps what was used' sh -c "kvget -q s --chain $head | cmp - a.kv"
is 'the index forgets the rest' "$(kvstat index export s | wc -l)" 16
kvput -q s b.kv; old s '2 days ago'
kvstat index export s | sed "s/\"hash\":\"$head/\"pinned\":true,&/" >pins.ndjson
kvstat index import -q s pins.ndjson
ok 'a pin in the index' kvevict -q s --max-size 1 --max-delete 100% --min-age 0
ok 'keeps the chain before it' sh -c "kvget -q s | cmp - a.kv"
unset KVTOOLS_INDEX
mkdir late; kvstat index rebuild -q --index l.db late >/dev/null
kvput -q late a.kv; old late '2 days ago'
ok 'what headers tell is noted' kvevict -q late --index l.db --max-chunks 14
is 'of those that stay' "$(kvstat index export --index l.db late | grep -c '"parent":')" 14
ok 'an index that is asked for must be there' status 2 kvevict -q s --max-size 1 --index "$tmp/none.db"

# audit log and summary
rm -rf s; kvput -q s a.kv; old s
kvevict -q s --max-chunks 14 --audit-log audit.ndjson >/dev/null
is 'audit log: a line each' "$(grep -c '"action":"delete","state":"gone","reason":"lru"' audit.ndjson)" 2
is 'JSON: the same fields, and a summary' "$(kvevict --json s --max-chunks 12 2>/dev/null | sed 's/.*"schema":"\([a-z./0-9]*\)".*/\1/' | sort | uniq -c | tr -s ' \n' ' ')" ' 2 kv.evict/1 1 kv.summary/1 '
ok 'a time limit' status 3 kvevict -q s --max-chunks 10 --max-duration 0.000001s
is 'does nothing more' "$(find s -type f | wc -l)" 12

if ! command -v redis-server >/dev/null; then
	skip 'no redis-server'
	finish
fi
# shellcheck source=tests/server/redis.sh
. "$here/server/redis.sh"
redis_start r
url="redis://127.0.0.1:$redis_port"
for i in 1 2 3 4; do
	for rank in 0 1; do
		name="org/m@2@$rank@$(hash_of $i)@bfloat16"
		redis_cli r SET "${name}kv_bytes" "$(printf '%01024d' 0)" >/dev/null
		redis_cli r SET "${name}metadata" "$(printf '%028d' 0)" >/dev/null
	done
done
redis_cli r DEL "org/m@2@0@$(hash_of 1)@bfloat16metadata" >/dev/null
redis_cli r DEL "org/m@2@1@$(hash_of 2)@bfloat16kv_bytes" >/dev/null
is 'Redis: ages are idle times' "$(kvevict -q "$url?dialect=lmcache" --max-size 1 --max-delete 100%)" ''
kvevict -q "$url?dialect=lmcache" --litter --min-age 0 --max-delete 100% -n >dry.txt
kvevict -q "$url?dialect=lmcache" --litter --min-age 0 --max-delete 100% >real.txt
ok 'Redis: dry run as real run' cmp dry.txt real.txt
is 'Redis: halves go' "$(cut -f 1,2 real.txt | tr '\t\n' '  ')" 'delete half sweep half '
is 'Redis: pairs stay' "$(redis_cli r DBSIZE)" 10
ok 'Redis: evicts pairs of ranks' kvevict -q "$url?dialect=lmcache" --max-chunks 2 --min-age 0 --max-delete 100%
is 'Redis: both halves of both' "$(redis_cli r DBSIZE)" 8
redis_cli r FLUSHALL >/dev/null
kvput -q "$url" a.kv
ok 'Redis: native chunks' kvevict -q "$url" --max-chunks 10 --min-age 0 --max-delete 50% --lock
is 'Redis: leaves first' "$(kvevict -q "$url" --unreachable --min-age 0 --max-delete 100% -n | wc -l) $(kvstat ls -o name "$url" | wc -l)" '0 10'
finish
