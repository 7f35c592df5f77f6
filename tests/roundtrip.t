#!/bin/sh
# What goes in comes out, bit for bit: through stores, codecs, concatenation, tails, tensor files.
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
kvget -q 'gen:tiny?tokens=4096&seed=1' >a.kv
kvget -q 'gen:tiny?tokens=1024&seed=2' >b.kv
kvget -q 'gen:tiny?tokens=1000&seed=3&tail=1' >tail.kv
head_of() { kvstat chain -o name "$1" | head -n 1; }

ok 'same arguments, same bytes' sh -c "kvget -q 'gen:tiny?tokens=4096&seed=1' | cmp - a.kv"
ok 'put' kvput -q s a.kv
ok 'get a chain back' sh -c "kvget -q s --chain $(head_of s) | cmp - a.kv"
ok 'get all back' sh -c 'kvget -q s | cmp - a.kv'
is 'a second put stores nothing' "$(kvput --json s a.kv | sed 's/.*"put":\([0-9]*\),"skipped":\([0-9]*\).*/\1 \2/')" '0 16'
for codec in zstd zstd:3 planes+zstd planes+zstd:3 auto; do
	ok "put with $codec" kvput -q --compress "$codec" "c-$codec" a.kv
	ok "$codec shrinks" test "$(du -s "c-$codec" | cut -f1)" -lt "$(du -s s | cut -f1)"
	ok "$codec gives the original back" sh -c "kvget -q 'c-$codec' --compress none | cmp - a.kv"
	ok "$codec verifies" kvstat verify -q "c-$codec"
done
ok 'recoded stream is the same as recoded store' sh -c 'kvget -q - --compress zstd <a.kv >z1.kv; kvget -q c-zstd | cmp - z1.kv'
ok 'streams concatenate' sh -c 'cat a.kv b.kv | kvput -q two && kvget -q - <b.kv | kvput -q two'
is 'both chains are there' "$(kvstat chain -o name two | wc -l)" 2
ok 'a chunk file is a stream of one' sh -c "kvput -q one \$(find s -name '*.safetensors' | head -n 1)"
ok 'many chunk files are a stream' sh -c "find s -name '*.safetensors' -exec cat {} + | kvput -q many && kvget -q many | cmp - a.kv"
ok 'a tail survives' sh -c 'kvput -q t tail.kv && kvget -q t | cmp - tail.kv'
ok 'a compressed tail survives' sh -c 'kvput -q --compress auto tc tail.kv && kvget -q tc --compress none | cmp - tail.kv'
ok 'kvget - is a filter' sh -c 'kvget -q - <a.kv | cmp - a.kv'
ok 'a name that is not in the stream is 1' sh -c 'kvget -q - ffffffffff <a.kv >/dev/null; test $? = 1'
ok 'mem: takes it' kvput -q mem: a.kv
ok 'null: takes it' kvput -q null: a.kv
shm="kvtools-test-$$"
at_exit='rm -rf "/dev/shm/kvtools-$shm"'
ok 'shm: holds it' sh -c "kvput -q shm:$shm a.kv && kvget -q shm:$shm | cmp - a.kv"
ok 'O_DIRECT gives the same' sh -c 'kvput -q --direct d a.kv && kvget -q --direct d | cmp - a.kv'
ok 'and with --fill' sh -c 'kvget -q --direct d --fill d2 && kvstat diff -q d d2'
# Where a disk takes it, little of them is in the page cache then: ends, and headers that were read.
cached() { find "$@" -type f -exec fincore -nb -o RES {} + | awk '{ n += $1 } END { print n + 0 }'; }
here=$(mktemp -d /var/tmp/kvtools.XXXXXX) at_exit="$at_exit; rm -rf '$here'"
if command -v fincore >/dev/null && dd if=/dev/zero of="$here/x" bs=1M count=4 oflag=direct 2>/dev/null &&
    [ "$(cached "$here/x")" = 0 ]; then
	kvget -q 'gen:llama-3.1-8b?tokens=512&chunk-tokens=64' | kvput -q "$here/plain"
	kvget -q --direct "$here/plain" --fill "$here/direct"
	ok 'O_DIRECT leaves the page cache alone' test "$(cached "$here/direct")" -lt $((1 << 20))
	ok '... as nothing else does' test "$(cached "$here/plain")" -gt $((32 << 20))
fi
ok 'fsync too' sh -c 'kvput -q --fsync full f a.kv && kvget -q f | cmp - a.kv'
ok 'one job, little memory' sh -c 'kvget -q -j1 --mem 1 s | kvput -q -j1 --mem 1 m1 && kvget -q m1 | cmp - a.kv'
ok 'many jobs' sh -c 'kvget -q -j16 s | kvput -q -j16 m16 && kvget -q m16 | cmp - a.kv'
ok '-O makes the file' sh -c 'kvget -q s -O out.kv && cmp out.kv a.kv'
ok '--fill copies a store' sh -c 'kvget -q s --fill filled && kvstat diff -q s filled'
kvget -q 'gen:tiny?tokens=512&tp=2&seed=4' >tp.kv
ok 'ranks fold into one row' sh -c 'kvput -q tp tp.kv && test $(kvstat ls -o name tp | wc -l) = 2'
ok 'a name given twice, and as a prefix, is one chunk' sh -c 'n=$(kvstat ls -o name s | head -n 1); kvget -q s $n $n ${n%??????} >twice.kv && kvget -q s $n | cmp - twice.kv && kvstat ls s $n $n | cut -f4 >twice && kvstat ls s $n | cut -f4 | cmp - twice'
ok 'ranks come back' sh -c 'kvget -q tp | cmp - tp.kv'
ok 'one rank can be asked for' sh -c 'kvget -q tp --rank 1 | kvput -q r1 && kvstat ls r1 | grep -q "1/"'
for t in 'f16' 'f8_e4m3fn' 'f8_e4m3fnuz'; do
	ok "$t survives" sh -c "kvget -q 'gen:tiny?tokens=512&dtype=$t' >t.kv && kvput -q --compress auto ty-$t t.kv && kvget -q ty-$t --compress none | cmp - t.kv"
done

# labels and the like change the header, and only that
ok 'tenant, ttl, priority, label, meta' kvput -q --tenant acme --ttl 7d --priority 5 --label doc:x --meta a=b lab b.kv
is 'tenant is shown' "$(kvstat du --by tenant --json lab | head -n 1 | sed 's/.*"group":"\([a-z]*\)".*/\1/')" acme
name=$(kvstat ls -o name lab | head -n 1)
ok 'label is shown' sh -c "kvstat show lab $name | grep -q '^labels *doc:x'"
ok 'expiry is shown' sh -c "kvstat show lab $name | grep -q '^expires'"
ok 'relabelled chunks verify' kvstat verify -q lab
finish
