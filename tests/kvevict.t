#!/bin/sh
# kvevict deletes what it should, says so beforehand, and nothing else.
# shellcheck disable=SC2317	# functions called through ok
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
kvget -q 'gen:tiny?tokens=4096&seed=1' >a.kv	# a chain of 16
size=$(($(wc -c <a.kv) - 8192))			# without begin and end records
one=$((size / 16))
old() { find "$1" -type f -exec touch -d "${2:-2 hours ago}" {} +; }
fresh() { rm -rf s; kvput -q s a.kv; old s; }
left() { find s -name '*.safetensors' | wc -l; }
no_orphan() { test "$(kvevict s --unreachable --min-age 0 --max-delete 100% -n 2>/dev/null | wc -l)" = 0; }
ev() { kvevict -q s "$@" >out.txt; }

# what is asked
fresh
ok 'without a limit or a name: usage' status 2 kvevict s
ok 'an empty selection is refused' status 6 kvevict s --model ''
ok 'no such store' status 2 kvevict nosuch --max-size 1
ok 'no such policy' status 2 kvevict s --max-size 1 --policy best
ok 'bad percentage' status 2 kvevict s --max-size 120%
is 'nothing of that deleted anything' "$(left)" 16

# names
leaf=$(kvstat chain s | cut -f 1)
inner=$(kvstat ls s | cut -f 1 | grep -v "$leaf" | head -n 1)
ok 'one that others continue stays, and a line says so' sh -c "kvevict s '$inner' 2>&1 | grep -q '^kvevict: 1 that should go stay'"
is 'it does' "$(left)" 16
kvevict s 999999999999 "$leaf" >out.txt 2>said
is 'one that is not there is 1, and told' "$? $(grep -c '^kvevict: 999999999999: no such chunk' said)" '1 1'
is 'the others go' "$(left) $(wc -l <out.txt)" '15 1'
ok 'one that is gone' status 1 ev "$leaf"

# guard, at its bound
ok 'a quarter may go' ev --max-size $((12 * one))
is 'and went' "$(left)" 12
fresh
ok 'more than a quarter is refused' status 6 ev --max-size $((12 * one - 1))
is 'and nothing went' "$(left)" 16
is 'and no line said so' "$(cat out.txt)" ''
ok 'the dry run is refused alike' status 6 ev --max-size $((12 * one - 1)) -n
ok '--max-delete N, at its bound' ev --max-size $((10 * one)) --max-delete 6
fresh
ok '--max-delete N, above it' status 6 ev --max-size $((10 * one - 1)) --max-delete 6
ok '--max-delete 100%' ev --max-size 0 --max-delete 100%
is 'all gone' "$(left)" 0
ok 'an empty store has nothing to do' ev --max-size 0

# age
rm -rf s; kvput -q s a.kv
ok 'what is young stays' ev --max-size 1 --max-delete 100%
is 'all of it' "$(left)" 16
ok '--min-age 0' ev --max-size $((10 * one)) --max-delete 100% --min-age 0
is 'six went' "$(left)" 10
ok 'nothing hangs in the air' no_orphan

# dry run and real run, twice
fresh
ok 'dry run' sh -c "kvevict s --max-size $((12 * one)) --low-water 95% --max-delete 50% -n >dry.txt"
is 'deletes nothing' "$(left)" 16
ok 'real run' sh -c "kvevict s --max-size $((12 * one)) --low-water 98% --max-delete 32% -n >dry.txt; kvevict s --max-size $((12 * one)) --low-water 98% --max-delete 32% >real.txt"
ok 'the same lines' cmp dry.txt real.txt
is 'low water' "$(left)" 11
ok 'second run' sh -c "kvevict s --max-size $((12 * one)) --low-water 98% >again.txt"
is 'deletes nothing ' "$(cat again.txt)" ''
ok 'no orphan' no_orphan
ok 'the rest is a chain' kvstat verify -q s

# time to live
fresh
old s '8 days ago'
ok 'ttl' ev --ttl 7d --max-delete 100%
is 'all was idle' "$(left)" 0
fresh
old s '8 days ago'
kvget -q s >/dev/null
ok 'ttl counts from the last use' ev --ttl 7d --max-delete 100%
is 'all was used' "$(left)" 16

# a chain is as fresh as its freshest chunk
fresh
kvget -q 'gen:tiny?tokens=4096&seed=2' | kvput -q s
old s '3 days ago'
head2=$(kvget -q 'gen:tiny?tokens=4096&seed=2' | kvput -q --json null: | sed 's/.*"head":"\([0-9a-f]*\)".*/\1/')
kvget -q s "$head2" >/dev/null
ok 'lru takes the chain that was not used' ev --max-size $((17 * one)) --max-delete 100%
ok 'the one used is whole' sh -c "kvget -q s --chain $head2 | wc -c | grep -qx $((size + 8192))"


# litter: by age, regions only when nobody holds them
fresh
mkdir -p s/tiny
: >s/tiny/.old.host.1.1.tmp; touch -d '1 hour ago' s/tiny/.old.host.1.1.tmp
: >s/tiny/.new.host.1.1.tmp
head -c 5000 /dev/zero >s/vllm_offload_dead.mmap; touch -d '1 hour ago' s/vllm_offload_dead.mmap
head -c 5000 /dev/zero >s/vllm_offload_live.mmap; touch -d '1 hour ago' s/vllm_offload_live.mmap
ok 'dry sweep' sh -c 'exec 9<s/vllm_offload_live.mmap; kvevict s --litter -n >dry.txt'
ok 'sweep' sh -c 'exec 9<s/vllm_offload_live.mmap; kvevict s --litter >real.txt'
ok 'the same lines of litter' cmp dry.txt real.txt
is 'a temporary and a region' "$(cut -f 1-3 real.txt | tr '\t' ' ')" 'sweep region vllm_offload_dead.mmap
sweep temporary tiny/.old.host.1.1.tmp'
ok 'a young temporary stays' test -e s/tiny/.new.host.1.1.tmp
ok 'a region in use stays' test -e s/vllm_offload_live.mmap
is 'no chunk was swept' "$(left)" 16
finish
