#!/bin/sh
# kvevict beside others: locks, two at once, readers and writers, quarantine, tenants.
# shellcheck disable=SC2317	# functions called through ok
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
kvget -q 'gen:tiny?tokens=512&chunk-tokens=16&seed=1' >a.kv	# a chain of 32
kvget -q 'gen:tiny?tokens=512&chunk-tokens=16&seed=2' >b.kv
one=$((($(wc -c <a.kv) - 8192) / 32))
old() { find "$1" -type f -exec touch -d "${2:-2 hours ago}" {} +; }
fresh() { rm -rf s; kvput -q s "$@"; old s; }
left() { find "$1" -name '*.safetensors' | wc -l; }
orphans() { kvevict -q "$1" --unreachable --min-age 0 --max-delete 100% -n | wc -l; }

# one at a time
fresh a.kv
kvevict -q s --max-size $((30 * one)) --lock
is 'a lock is given back' "$(find s -name '.kvtools*')" ''
sleep 60 & holder=$!
printf '%s %s 2026-11-21T00:00:00Z\n' "$(hostname)" "$holder" >s/.kvtools-evict.lock
ok 'locked: status 5' status 5 kvevict s --max-size 1 --lock
ok 'and by whom' sh -c "kvevict s --max-size 1 --lock 2>&1 | grep -q 'locked.*$holder 2026.*\.kvtools-evict\.lock'"
kill "$holder"; wait "$holder" 2>/dev/null
ok 'a dead holder is no holder' kvevict -q s --max-size $((28 * one)) --lock
is 'and the run deleted' "$(left s)" 28
ok 'without --lock nobody asks' kvevict -q s --max-size $((28 * one))

# two at once: what one has deleted has vanished for the other
fresh a.kv b.kv
kvevict -q s --max-size $((20 * one)) --max-delete 100% >one.txt & first=$!
kvevict -q s --max-size $((20 * one)) --max-delete 100% >two.txt; rc=$?
wait "$first"
is 'both succeed' "$? $rc" '0 0'
# each plans from what it saw: together they may delete a little more, never less (--lock)
ok 'the limit is kept' test "$(left s)" -le 20 -a "$(left s)" -ge 8
is 'and no chunk lost its parent' "$(orphans s)" 0

# a copy in the store itself would go with the original
fresh a.kv
ln -s s link
for to in s ./s/ link; do
	ok "demotion to $to, which is the store: 2" status 2 kvevict s --demote-to "$to" --max-size 1 --max-delete 100%
done
is 'and nothing is lost' "$(left s)" 32

# readers and writers meanwhile
fresh a.kv
(i=0; while [ $i -lt 20 ]; do kvput -q s b.kv; i=$((i + 1)); done) & writer=$!
(i=0; while [ $i -lt 20 ]; do kvget -q s --keep-going >/dev/null 2>&1; i=$((i + 1)); done) & reader=$!
for n in 60 50 40 36 34; do
	kvevict -q s --max-size $((n * one)) --max-delete 100% >/dev/null || break
done
wait "$writer"; is 'a writer meanwhile succeeds' "$?" 0
wait "$reader"
is 'its young chunks are all there' "$(kvget -q s --newer-than 10m | cmp - b.kv && echo all)" all
is 'no orphan with others at work' "$(orphans s)" 0

# damaged chunks into quarantine
fresh a.kv
bad=$(find s -name '*.safetensors' | sort | sed -n 3p)
size=$(wc -c <"$bad")
printf x | dd of="$bad" bs=1 seek=$((size - 5)) conv=notrunc 2>/dev/null
old s
kvstat verify --json s >found.ndjson
ok 'moves a damaged chunk' kvevict -q s --corrupt-from found.ndjson --demote-to jail
is 'one, byte for byte' "$(left jail) $(wc -c <"jail/${bad#s/}")" "1 $size"
is 'it is gone here' "$(left s)" 31
ok 'the rest is sound' kvstat verify -q s
ok 'what hung on it is unreachable' test "$(orphans s)" -gt 0
kvevict -q s --unreachable --max-delete 100%
is 'and goes when asked' "$(orphans s)" 0

# demotion
fresh a.kv
ok 'demotes' kvevict -q s --max-size $((20 * one)) --max-delete 50% --demote-to cold
is 'twelve' "$(left s) $(left cold)" '20 12'
ok 'together they are the chain' sh -c 'kvget -q cold --fill s && kvget -q s | cmp - a.kv'
fresh a.kv
ok 'a full store is no place' status 7 kvevict -q s --max-size $((30 * one)) --demote-to 'shm:kvevict-full?size=10K'
rm -rf /dev/shm/kvtools-kvevict-full
is 'and nothing was deleted' "$(left s)" 32

# tenants
rm -rf s
kvput -q --tenant a s a.kv; kvput -q --tenant b s b.kv; kvput -q s b.kv; old s
printf '# who max ttl priority\na %d - 10\nb %d 24h 5\n* 10M\n' $((30 * one)) $((30 * one)) >quotas
kvevict s --quota-file quotas -n 2>said >/dev/null
is 'a table of tenants' "$(sed -n '/^TENANT/,$p' said | awk 'NR <= 4 { print $1, $NF }' | tr '\n' ' ')" 'TENANT DELETE a 2 b 2 - 0 '
is 'the same in JSON' "$(kvevict --json s --quota-file quotas -n 2>/dev/null | grep -c 'kv.tenant/1')" 3
ok 'no more than the quota' status 6 kvput -q s --tenant a --enforce-quota --quota-file quotas b.kv
is 'nothing was put' "$(left s/tiny/bf16-tp1-r0-a)" 32
printf 'c %d\n' $((20 * one)) >few
ok 'up to the quota' status 6 kvput -q s --tenant c --enforce-quota --quota-file few b.kv
is 'it is put' "$(left s/tiny/bf16-tp1-r0-c)" 20
ok 'and then refused' sh -c 'KVTOOLS_QUOTA_FILE=few kvput s --tenant c --enforce-quota b.kv 2>&1 | grep -q "over quota"'
rm -rf s/tiny/bf16-tp1-r0-c
printf 'e - - - 20\n' >few
ok 'up to the quota in chunks' status 6 kvput -q s --tenant e --enforce-quota --quota-file few b.kv
is 'so many are put' "$(left s/tiny/bf16-tp1-r0-e)" 20
printf 'e %d - - 33\n' $((33 * one)) >few
ok 'one below the quota' kvput -q s --tenant e --enforce-quota --quota-file few b.kv
ok 'what is there takes no more of it' kvput -q s --tenant e --enforce-quota --quota-file few b.kv
is 'all of it' "$(left s/tiny/bf16-tp1-r0-e)" 32
rm -rf s/tiny/bf16-tp1-r0-e
ok 'another has none' kvput -q s --tenant d --enforce-quota --quota-file few b.kv
rm -rf s/tiny/bf16-tp1-r0-d
ok 'whose?' status 2 kvput -q s --enforce-quota --quota-file few b.kv
ok 'quotas' kvevict -q s --quota-file quotas
is 'each tenant its own' "$(left s/tiny/bf16-tp1-r0-a) $(left s/tiny/bf16-tp1-r0-b) $(left s/tiny/bf16-tp1-r0)" '30 30 32'
old s '2 days ago'
ok 'time to live of one' kvevict -q s --quota-file quotas --max-delete 100%
is 'is not the others' "$(left s/tiny/bf16-tp1-r0-a) $(left s/tiny/bf16-tp1-r0-b) $(left s/tiny/bf16-tp1-r0)" '30 0 32'
rm -rf s
kvput -q --tenant a s a.kv; kvput -q --tenant b s b.kv; kvput -q s b.kv; old s
printf 'a %d\nb %d\n' $((32 * one)) $((64 * one)) >quotas
ok 'by quota: the fullest first' kvevict -q s --quota-file quotas --policy quota --max-chunks 72
is 'to one level' "$(left s/tiny/bf16-tp1-r0-a) $(left s/tiny/bf16-tp1-r0-b) $(left s/tiny/bf16-tp1-r0)" '13 27 32'
ok 'no orphan of a quota' test "$(orphans s)" = 0
ok 'whose quota?' status 2 kvevict -q s --policy quota --max-chunks 5
printf 'a 5X\n' >quotas
ok 'a bad quota file' status 2 kvevict -q s --quota-file quotas
printf 'a 5G\nb 5X\n' >quotas
is 'has no table' "$(kvevict --json s --quota-file quotas -n 2>/dev/null | grep -c kv.tenant)" 0
ok '--tenant selects, limits are of it' kvevict -q s --tenant a --max-chunks 9
is 'and the others stay' "$(left s/tiny/bf16-tp1-r0-a) $(left s/tiny/bf16-tp1-r0)" '9 32'

# pins
fresh a.kv b.kv
last=$(kvput -q --json null: a.kv | sed 's/.*"head":"\([0-9a-f]*\)".*/\1/')
echo "$last	# its whole chain" >pins
ok 'a pin' kvevict -q s --max-size 1 --max-delete 100% --pin-file pins
ok 'keeps its chain whole' sh -c 'kvget -q s | cmp - a.kv'
echo 'tiny/*' >pins
ok 'a pattern' kvevict -q s --max-size 1 --max-delete 100% --pin-file pins
is 'keeps what fits' "$(left s)" 32
echo 'ab' >pins
ok 'a bad pin' status 2 kvevict -q s --max-size 1 --pin-file pins

# all of it
ok '--all needs --yes' status 6 kvevict -q s --all
ok '--all --max-delete' status 6 kvevict -q s --all --yes --max-delete 25%
ok '--all -n needs nothing' kvevict -q s --all -n
ok '--min-keep' status 6 kvevict -q s --all --yes --min-keep 1
ok '--all --yes' kvevict -q s --all --yes
is 'nothing is left' "$(left s)" 0
finish
