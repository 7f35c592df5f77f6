#!/bin/sh
# kill -9, full disks, many writers: a store never shows half a chunk, and a second run completes it.
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
kvget -q 'gen:tiny?tokens=16384&seed=1' >a.kv	# 64 chunks of 260 KiB
kills=${KVTOOLS_KILLS:-60}

killed() {
	i=0
	while [ "$i" -lt "$kills" ]; do
		kvput -q s a.kv &
		sleep "0.0$(awk -v s="$i" 'BEGIN{srand(s); printf "%02d", rand()*45}')"
		kill -9 $! 2>/dev/null
		wait $! 2>/dev/null
		[ $((i % 10)) -ne 0 ] || [ ! -d s ] || kvstat verify -q s || return 1
		[ $((i % 4)) -ne 0 ] || find s -name '*.safetensors' 2>/dev/null | head -n 30 | xargs -r rm -f
		i=$((i + 1))
	done
	return 0
}
ok "kill -9 at $kills instants: no bad chunk" killed 2>/dev/null
ok 'what is there verifies' kvstat verify -q s
ok 'a second run completes it' kvput -q s a.kv
ok 'and it is all there' sh -c 'kvget -q s | cmp - a.kv'
ok '--sweep removes what they left' sh -c "kvput -q --sweep s a.kv && ! find s -name '*.tmp' | grep -q ."

# a writer stopped within a chunk
temps() { find held -name '.*.tmp' 2>/dev/null; }
caught() {
	i=0
	while [ "$i" -lt 1000 ]; do
		if [ $((i % 50)) -eq 0 ]; then
			rm -rf held
			kvput -q -j1 held 'gen:llama-3.1-8b?tokens=1024' &	# 4 of 32 MiB
			writer=$!
		fi
		kill -STOP "$writer"
		sleep 0.01
		# what the kernel does for it meanwhile is first done: it may be the rename
		for wait in 1 2 3 4 5 6 7 8 9; do
			grep -h ^State "/proc/$writer/task/"*/status 2>/dev/null | grep -q ' [RSD] ' || break
			sleep "0.$wait"
		done
		temp=$(temps)
		[ ! -s "$temp" ] || return 0	# an empty one may not be locked yet
		kill -CONT "$writer"
		i=$((i + 1))
	done
	return 1
}
case $(stat -f -c %T .) in
ext*|xfs|btrfs|tmpfs|overlayfs|zfs)
	ok 'a writer is caught at it' caught
	kvput -q --sweep held a.kv
	is 'a sweep leaves the living theirs' "$(temps)" "$temp"
	touch -d '1 hour ago' "$temp"
	kvput -q --sweep held a.kv
	is 'at any age' "$(temps)" "$temp"
	kill -CONT "$writer"
	ok 'who complete it' wait "$writer"
	ok 'another is caught' caught
	kill -9 "$writer"
	wait "$writer" 2>/dev/null
	is 'killed, it leaves one behind' "$(temps)" "$temp"
	ok 'dry, its litter is named at once' sh -c "kvevict held --litter -n >dry && grep -qF '${temp#held/}' dry"
	ok 'and then it goes' sh -c 'kvevict held --litter | cmp - dry'
	is 'none is left' "$(temps)" '' ;;
*)
	skip 'no file system whose locks tell' ;;
esac

i=0
while [ "$i" -lt 100 ]; do
	kvput -q -j1 many a.kv 2>>errors &
	i=$((i + 1))
done
wait
is '100 writers at once: no error' "$(cat errors)" ''
is 'one copy' "$(find many -type f | wc -l)" 64
ok 'all well' sh -c 'kvget -q many | cmp - a.kv'

ok 'SIGTERM ends with 143' sh -c "kvget -q 'gen:llama-3.1-8b?tokens=1000000' --bwlimit 10MB/s >/dev/null & sleep 0.3; kill -TERM \$!; wait \$!; test \$? = 143"
ok 'SIGINT ends with 130' /usr/bin/env python3 -c "
import subprocess, signal, time
p = subprocess.Popen(['kvget', '-q', 'gen:llama-3.1-8b?tokens=1000000', '--bwlimit', '10MB/s'], stdout=subprocess.DEVNULL,
	preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))	# whatever make was started with
time.sleep(0.3); p.send_signal(signal.SIGINT); assert p.wait(5) == -signal.SIGINT"
# whichever thread of theirs the signal reaches: at pipes that nobody fills, and that nobody empties
waits_end() {
	/usr/bin/env python3 -c '
import os, signal, subprocess, sys, time
r, w = os.pipe()
for command in (["kvput", "-q", "none"], ["kvget", "-q", "s"],
		["kvget", "-q", "s", "--compress", "none"]):
	outs = [os.pipe() for i in range(4)]
	ps = [subprocess.Popen(command, stdin=r, stdout=o[1]) for o in outs]
	for o in outs: os.close(o[1])
	time.sleep(0.5)
	for p in ps: p.send_signal(signal.SIGTERM)
	for p in ps: assert p.wait(5) == -signal.SIGTERM, command
	for o in outs: os.close(o[0])
'
}
ok 'SIGTERM ends every wait at a pipe'	waits_end
ok 'a closed pipe ends with 141' sh -c "{ kvget -q a.kv; echo \$? >rc; } | head -c 100 >/dev/null; test \$(cat rc) = 141"
ok '-O leaves no half file' sh -c "kvget -q 'gen:llama-3.1-8b?tokens=100000' --bwlimit 10MB/s -O half.kv & sleep 0.3; kill -TERM \$!; wait \$!; ! ls half.kv* 2>/dev/null"
mknod null c 1 3 2>/dev/null && ok '-O writes to a device, and never replaces it' sh -c 'kvget -q a.kv -O null --metrics-file null && test -c null'
ok 'full /dev/full is 7' sh -c 'kvget -q a.kv >/dev/full; test $? = 7'
ok 'what got through is what is told' sh -c 'kvget -q "gen:tiny?tokens=2048" >eight.kv
	trap "" XFSZ; ulimit -f 600; kvget eight.kv -O part.kv 2>err; test $? = 7 && grep -q "1 chunk, 256 tokens" err'
# somebody removes the directory that is written to; it is asked for again by the next run
if strace -o trace.log true 2>/dev/null; then
	ok 'what is removed under a writer is 5' sh -c 'ASAN_OPTIONS=detect_leaks=0 strace -f -o trace.log -e trace=renameat,renameat2 \
		-e inject=renameat,renameat2:error=ENOENT kvput -q gone a.kv; test $? = 5'
fi

mkdir full
if mount -t tmpfs -o size=4m tmpfs full 2>/dev/null; then
	at_exit='umount "$tmp/full"'
	ok 'full disk is 7' sh -c 'kvput -q full/s a.kv 2>err; test $? = 7'
	is 'full disk: one line' "$(grep -c . err)" 1
	ok 'full disk: no half chunk' kvstat verify -q full/s
	ok 'full disk: no litter' sh -c "! find full -name '*.tmp' | grep -q ."
else
	skip 'mounting a small tmpfs is not allowed here'
fi
if [ "$(id -u)" != 0 ]; then
	mkdir ro && chmod 555 ro
	ok 'no permission is 6' sh -c 'kvput -q ro/s a.kv; test $? = 6'
else
	mkdir ro
	chmod 755 "$tmp"
	if command -v setpriv >/dev/null; then
		ok 'no permission is 6' sh -c 'setpriv --reuid=65534 --clear-groups kvput -q ro/s a.kv; test $? = 6'
	fi
fi
ok 'a directory that is not there is 2' sh -c 'kvget -q nothere >/dev/null; test $? = 2'
ok 'an absent chunk is 1' sh -c 'kvget -q s ffffffffffff >/dev/null; test $? = 1'
ok 'a bad name is 2' sh -c 'kvget -q s nosuchname >/dev/null; test $? = 2'
ok 'an ambiguous store kind is 2' sh -c 'kvget -q floppy:a >/dev/null; test $? = 2'
ok 'a password in a URL is 2' sh -c 'kvget -q redis://u:secret@h/ >/dev/null 2>err; test $? = 2 && ! grep -q secret err'
finish
