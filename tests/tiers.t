#!/bin/sh
# Several stores as tiers: the first that has a chunk serves it, the next heals what it cannot.
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
kvget -q 'gen:tiny?tokens=2048&seed=1' >a.kv		# 8 chunks
kvput -q cold a.kv
head -c $((4096 + 3 * 266240)) a.kv | kvput -q hot 2>/dev/null
is 'the hot tier holds three' "$(kvstat ls -o name hot | wc -l)" 3
ok 'two tiers give the whole' sh -c 'kvget -q --from hot --from cold | cmp - a.kv'
ok 'order of tiers does not matter for the bytes' sh -c 'kvget -q --from cold --from hot | cmp - a.kv'
ok 'a chain over two tiers' sh -c 'kvget -q --from hot --from cold --chain $(kvstat chain -o name cold) | cmp - a.kv'
cp -r hot torn
second=$(find torn -name "$(kvstat ls --sort chain -o name hot | sed -n 2p)*")
printf x | dd of="$second" bs=1 seek=300 conv=notrunc 2>/dev/null
ok 'a chain climbs past a damaged header' sh -c 'kvget -q --from torn --from cold --chain $(kvstat chain -o name cold) | cmp - a.kv'
ok 'and all chunks keep their order' sh -c 'kvget -q --from torn --from cold | cmp - a.kv'
ok 'without the next tier it is refused, by name' sh -c 'kvget torn --chain "$(kvstat ls --sort chain -o name hot | tail -n 1)" 2>err >no.kv; test $? = 4 && grep -q "^kvget: torn: .*safetensors.: chunk" err'
is 'kvstat chain names it' "$(kvstat chain torn | cut -f 5,6 | grep damaged)" "damaged	$(basename "$second" .kv.safetensors)"
ok 'with 4' status 4 kvstat chain torn
for f in hot/*/*/*/*.safetensors; do
	printf x | dd of="$f" bs=1 seek=9000 conv=notrunc 2>/dev/null
done
ok 'a damaged tier is healed from the next' sh -c 'kvget --from hot --from cold 2>err >h.kv && cmp h.kv a.kv'
ok 'and that is said' grep -q '3 chunks came from a lower tier' err
ok 'and so into a pipe' sh -c 'kvget -q --from hot --from cold | cmp - a.kv'
ok 'without the next it is refused' sh -c 'kvget -q hot >/dev/null; test $? = 4'
ok 'with --fill of it, it is whole again' sh -c 'kvget -q --from hot --from cold --fill hot && kvstat verify -q hot && kvstat diff -q hot cold'
ok '--fill with -O: both' sh -c 'kvget -q --from cold --fill warm -O w.kv && cmp w.kv a.kv && kvstat diff -q cold warm'
ok '--fill again moves nothing' sh -c 'kvget --json --from cold --fill warm 2>&1 | grep -q "\"chunks\":0.*\"skipped\":8"'
file=$(find cold -name '*.safetensors' | head -n 1)
cp -p "$file" kept
chmod u+w "$file"
printf x | dd of="$file" bs=1 seek=9000 conv=notrunc 2>/dev/null
ok 'nor reads anything: damage is not met' kvget -q --from cold --fill warm
cp -p kept "$file"
there=warm/${file#cold/}
chmod u+w "$there"
: >"$there"
ok 'what was cut short there is no chunk' sh -c 'kvget --json --from cold --fill warm 2>&1 | grep -q "\"chunks\":1.*\"skipped\":7" && kvstat verify -q warm'
ok 'a tier that is filled need not be there yet' sh -c 'kvget -q --from fresh --from cold --fill fresh && kvstat diff -q cold fresh'
ok '--limit stops in time' sh -c 'kvget -q cold --limit 600K | kvput -q lim && test $(kvstat ls -o name lim | wc -l) = 2'
ok '--sort newest works' sh -c 'kvget -q cold --sort newest --limit 300K | kvput -q new && test $(kvstat ls -o name new | wc -l) = 1'
ok '--sort hits without counts is 2' sh -c 'kvget -q cold --sort hits >/dev/null 2>err; test $? = 2 && grep -q "nothing here counts uses" err'
kvstat index rebuild -q cold
used=$(kvstat ls -o name cold | tail -n 1)
kvget -q cold "$used" >/dev/null && kvget -q cold "$used" >/dev/null
ok '--sort hits takes the most used' sh -c "kvget -q cold --sort hits --limit 300K | kvput -q hits && test \$(kvstat ls -o name hits) = $used"
ok '--max-time that passes is a miss' sh -c "kvget -q 'gen:llama-3.1-8b?tokens=100000' --bwlimit 50MB/s --max-time 0.5s >/dev/null; test \$? = 1"
ok '--max-duration that passes is partial' sh -c "kvget -q 'gen:llama-3.1-8b?tokens=100000' --bwlimit 50MB/s --max-duration 0.5s >/dev/null; test \$? = 3"
ok 'a tier that is not configured is 2' sh -c 'kvget -q --from hot --from nowhere >/dev/null; test $? = 2'
ok 'a tier that is down is left out and said' sh -c 'AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b kvget --from cold --from "s3://bucket/x" --endpoint-url http://127.0.0.1:9 --retries 0 >d.kv 2>err; cmp d.kv a.kv && grep -q "left out" err'
ok 'and counted' sh -c 'AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b kvget --json --from cold --from "s3://bucket/x" --endpoint-url http://127.0.0.1:9 --retries 0 --metrics-file m.prom 2>&1 >/dev/null | grep -q "\"tiers_down\":1" && grep -q "tiers{state=.down.} 1" m.prom'

# chunks that go while they are read: 8 of 260 KiB at 2 MB/s, the last of which go at once
gone() {	# what kvget says of those left after the fifth
	rm -rf less && cp -r cold less
	kvget -j 1 --bwlimit 2MB/s "$@" >/dev/null 2>err &
	sleep 0.2
	kvstat ls --sort chain -o name cold | tail -n 3 | while read -r n; do rm less/*/*/*/"$n"*; done
	wait $!
	echo "$? $(grep -o 'vanished [0-9]' err)"
}
is 'of all that is there, what goes meanwhile was not there'	"$(gone less)" '0 vanished 3'
is 'what was asked for is missed'	"$(gone less --chain "$(kvstat chain -o name cold)")" '1 vanished 3'

# a server that takes connections and says nothing
/usr/bin/python3 -c 'import signal, socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64)
print(s.getsockname()[1], flush=True); signal.pause()' >mute &
mute=$!
while ! test -s mute; do sleep 0.05; done
in_time() {	# status of kvget after at most 3 s
	timeout 3 env AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b kvget "$@" >/dev/null 2>err
	echo $?
}
mute_url="s3://bucket/x?endpoint-url=http://127.0.0.1:$(cat mute)"
is '--max-time: a store that is silent is a miss, in time' "$(in_time "$mute_url" --max-time 1s)" 1
is '--max-duration: it is partial, after as long again' "$(in_time "$mute_url" --max-duration 0.5s)" 3
is '--max-time: so is a silent Redis' "$(in_time "redis://127.0.0.1:$(cat mute)" --max-time 1s)" 1
kill $mute; wait $mute 2>/dev/null
ok '--max-time: what was given up cuts the stream, and no more' sh -c 'kvget -q cold --bwlimit 1MB/s --max-time 1s >cut.kv; test $? = 1 && kvstat verify -q cut.kv'
finish
