#!/bin/sh
# Damaged, truncated and hostile data is refused with 4, and nothing that was not whole is stored.
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
kvget -q 'gen:tiny?tokens=1024&chunk-tokens=64&seed=1' >a.kv	# 16 chunks of 4096 + 65536
size=$(wc -c <a.kv)
chunk=$((4096 + 65536))

# what came before a cut is stored and whole
cut_at() {
	rm -rf s
	head -c "$1" a.kv | status 4 kvput -q s || return 1
	[ ! -d s ] || kvstat verify -q s
}
for n in 0 1 7 8 4095 4096 4100 8191 8192 $((4096 + 4096)) $((8192 + 65535)) $((8192 + 65536)) \
	$((8192 + 65536 + 100)) $((8192 + 65536 + 4096)) $((4096 + chunk + 5000)) \
	$((4096 + 2 * chunk)) $((size - 4097)) $((size - 4096)) $((size - 1)); do
	ok "cut at $n" cut_at "$n"
done
ok 'cut after 3 chunks: they are stored' sh -c "head -c $((4096 + 3 * chunk)) a.kv | kvput -q s3; test \$(kvstat ls -o name s3 | wc -l) = 3"

ok 'a text is no stream' sh -c 'kvput s4 "$1" 2>err; [ $? -eq 4 ] && grep -q "not a chunk" err' x "$here/lib.sh"

flip() {	# file offset: flips one bit
	b=$(dd if="$1" bs=1 skip="$2" count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
	printf "%b" "\\0$(printf %o $((b ^ 4)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
flipped() {
	cp a.kv f.kv
	flip f.kv "$1"
	rm -rf f
	status 4 kvput -q f f.kv || return 1
	[ ! -d f ] || kvstat verify -q f
}
i=0
while [ $i -lt 4096 ]; do
	ok "bit flipped in a header at $i" flipped $((4096 + i))
	i=$((i + 251))
done
for n in 3 100 30000 65535; do
	ok "bit flipped in a payload at $n" flipped $((8192 + n))
done
ok 'bit flipped in the begin record' flipped 200
ok 'bit flipped in the end record' flipped $((size - 3000))

kvput -q good a.kv
victim=$(find good -name '*.safetensors' | sort | sed -n 5p)
name=$(basename "$victim" .kv.safetensors)
flip "$victim" 20000
ok 'verify exits 4' status 4 kvstat verify -q good
is 'verify finds exactly it' "$(kvstat verify -q -o name good)" "$name"
ok 'kvget refuses to pass it on' sh -c 'kvget -q good >g.kv; test $? = 4'
ok 'the stream says so too' status 4 kvput -q null: g.kv
ok 'the others can be had' sh -c "kvget -q --keep-going good | kvput -q others; test \$(kvstat ls -o name others | wc -l) = 15"
refused() {	# into a pipe, where chunks are not held in memory, nothing of it goes either
	rm -rf left
	{ kvget -q good 2>/dev/null; echo $? >rc; } | kvput -q left 2>/dev/null
	test "$(cat rc)" = 4 && ! test -e "left/${victim#good/}"
}
ok 'nor into a pipe' refused
ok 'verify --quick does not read payloads' kvstat verify -q --quick good
mv good truncated
is 'what it is called does not matter' "$(kvstat verify -q truncated | cut -f 2)" corrupt
mv truncated good
flip "$victim" 300
ok 'verify --quick finds a damaged header' status 4 kvstat verify -q --quick good
ok 'so does kvget into a pipe' refused
: >"$victim"
ok 'an empty file is found' status 4 kvstat verify -q good
ok 'so does kvget into a pipe' refused
truncate -s 5000 "$victim"
ok 'a hole is found' status 4 kvstat verify -q good
ok 'so does kvget into a pipe' refused
cp "$(find good -name '*.safetensors' | sort | sed -n 1p)" "$victim"
ok 'a misplaced chunk is found' status 4 kvstat verify -q good
ok 'so does kvget into a pipe' refused
ok 'garbage is no stream' sh -c "head -c 100000 /dev/urandom >r; kvput -q null: r; test \$? = 4"
ok 'text is no stream' sh -c "yes | head -c 100000 >y; kvput -q null: y; test \$? = 4"
ok 'zeros are no stream' sh -c "head -c 100000 /dev/zero >z; kvput -q null: z; test \$? = 4"
ok 'an end without a begin' sh -c "tail -c 4096 a.kv | kvput -q null:; test \$? = 4"
ok 'a begin inside a stream' sh -c "{ head -c 4096 a.kv; cat a.kv; } | kvput -q null:; test \$? = 4"
ok 'an end record of another stream' sh -c "{ head -c $((size - 4096)) a.kv; kvget -q 'gen:tiny?tokens=256' | tail -c 4096; } | kvput -q null:; test \$? = 4"
ok 'producer fails: consumer knows' sh -c "kvget -q good 2>/dev/null | kvput -q null: 2>&1 | grep -q 'aborted by its producer'"

# headers made by hand: sealed properly, but wrong
cat >forge.py <<'P'
import json, struct, sys, subprocess
case = sys.argv[1]
meta = dict(kvchunk="1", seal="0" * 32, digest="0" * 32, model="m", hash="ab" * 32, algo="opaque", tokens="4",
	chunk_tokens="4", tp="1", rank="0", heads="0:1/1", layers="0:1/1")
shape, end, extra, dtype = [2, 1, 4, 1, 8], 128, "", "BF16"
if case == "dots": meta["model"] = ".."
elif case == "nul": meta["model"] = "a\0b"
elif case == "slash": meta["salt"] = "../../etc"
elif case == "huge": shape = [2, 1, 4, 1, 2**62]
elif case == "overflow": end = 2**64 - 1
elif case == "dup": extra = ',"kvcache":{"dtype":"BF16","shape":[2,1,4,1,8],"data_offsets":[0,128]}'
elif case == "two": extra = ',"other":{"dtype":"BF16","shape":[0],"data_offsets":[128,128]}'
elif case == "deep": meta["x"] = "y"; extra = ',"z":' + "[" * 100000
elif case == "version": meta["kvchunk"] = "2"
elif case == "mismatch": shape = [2, 1, 4, 1, 9]
elif case == "rank": meta["rank"] = "7"
elif case == "tokens": meta["tokens"] = "-4"
elif case == "dtype": dtype = "Q9"
elif case == "unknown": meta["zzz"] = "welcome"
text = '{"__metadata__":' + json.dumps(meta) + ',"kvcache":' + json.dumps(
	dict(dtype=dtype, shape=shape, data_offsets=[0, end])) + extra + "}"
n = 8 + len(text)
size = (n + 4095) // 4096 * 4096
payload = bytes(128)
def xxh(b): return subprocess.run(["xxhsum", "-H2"], input=b, capture_output=True).stdout.split()[0].decode()
text = text.replace('"digest": "' + "0" * 32, '"digest": "' + xxh(payload))
region = struct.pack("<Q", size - 8) + text.encode() + b" " * (size - n)
i = region.index(b'"seal": "') + 9
region = region[:i] + xxh(region).encode() + region[i + 32:]
if case == "big": region = struct.pack("<Q", 10 << 20) + region[8:]
sys.stdout.buffer.write(region + payload)
P
if command -v xxhsum >/dev/null && command -v python3 >/dev/null; then
	ok 'a forged header that is right is taken' sh -c 'python3 forge.py plain | kvput -q forged && kvstat verify -q forged'
	ok 'unknown metadata passes' sh -c 'python3 forge.py unknown | kvput -q forged2 && kvstat verify -q forged2'
	for c in dots nul slash huge overflow dup two deep version mismatch rank tokens dtype big; do
		python3 forge.py $c >h.kv
		ok "hostile header: $c" status 4 kvput -q hostile h.kv
		is "$c: one line of error" "$(kvput hostile h.kv 2>&1 | grep -c '^kvput: ')" 2
	done
	ok 'nothing of it was stored' sh -c '! find hostile -name "*.safetensors" 2>/dev/null | grep -q .'
else
	skip 'forged headers need xxhsum and python3'
fi
# what is no chunk, and what may not be read: told, and the rest goes on; nothing hangs
cp -r "$tmp/s" "$tmp/odd"
odd=$tmp/odd/tiny/bf16-tp1-r0
hash() { printf '%02d%062d' "$1" "$1"; }
object() { mkdir -p "$odd/$1"; echo "$odd/$1/$(hash "$1").kv.safetensors"; }
mkfifo "$tmp/odd/fifo" "$(object 10)"
ln -s loop "$tmp/odd/loop"
ln -s /dev/zero "$(object 11)"
mkdir "$(object 12)"
: >"$(object 13)"
printf x >"$tmp/odd/new
line"
mkdir -m 0 "$tmp/odd/lost+found"
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent timeout 20 "$@"; }
if [ "$(id -u)" = 0 ] && as_nobody true 2>/dev/null && chmod 755 "$tmp" && as_nobody "$KVTOOLS_OUT/kvstat" --version >/dev/null 2>&1; then
	printf x >"$(object 14)"
	chmod 0 "$(object 14)"
	as_nobody "$KVTOOLS_OUT/kvstat" verify -o tsv "$tmp/odd" >"$tmp/out" 2>"$tmp/err"
	is 'verify names both that are wrong' "$? $(cut -f 1,2 "$tmp/out" | sort | tr '\t\n' '  ')" "4 $(hash 13) truncated $(hash 14) unreadable "
	is 'and counts the others' "$(sed 's/,.*//; s/.*: //' "$tmp/err")" '16 good'
	as_nobody "$KVTOOLS_OUT/kvstat" ls -l "$tmp/odd" >"$tmp/out" 2>"$tmp/err"
	is 'ls -l has all' "$? $(wc -l <"$tmp/out")" '6 18'
	ok 'and says of what it could not read' grep -q '1 header cannot be read' "$tmp/err"
	chmod 777 "$tmp"
	as_nobody "$KVTOOLS_OUT/kvstat" verify -o tsv "$tmp/odd" --manifest "$tmp/sums" --update >"$tmp/out" 2>/dev/null
	is 'a manifest leaves out what cannot be read or named' "$? $(cut -f 2 "$tmp/out" | sort | uniq -c | tr -s ' \n' ' ')" '6  17 new 2 unreadable '
	as_nobody "$KVTOOLS_OUT/kvget" -q --keep-going "$tmp/odd" >"$tmp/out" 2>/dev/null
	is 'kvget --keep-going has all that is good' "$(kvstat verify "$tmp/out" 2>&1 | sed 's/,.*//')" 'kvstat: 16 good chunks'
else
	skip 'not root, or no setpriv'
fi

# files copied to where another model's would be
kvget -q 'gen:tiny?tokens=512' | kvput -q "$tmp/two"
cp -r "$tmp/two/tiny" "$tmp/two/other"
kvget -q --model other "$tmp/two" >"$tmp/out" 2>"$tmp/err"
is 'a chunk of another model is not passed on' "$? $(grep -c 'holds another chunk than its name says' "$tmp/err")" '4 1'
kvstat verify "$tmp/two" >"$tmp/out" 2>/dev/null
is 'verify tells of it' "$? $(cut -f 2 "$tmp/out" | uniq -c | tr -s ' ')" '4  2 misnamed'
kvstat ls -l "$tmp/two" >"$tmp/out" 2>/dev/null
is 'so does ls -l' "$? $(cut -f 7,9 "$tmp/out" | tr '\t\n' '  ')" '0 other ! other ! tiny - tiny - '

# what a crash of the machine may leave of a file that was renamed and not synced
kvget -q 'gen:tiny?tokens=512' >"$tmp/s.kv"
kvput -q "$tmp/crashed" "$tmp/s.kv"
f=$(find "$tmp/crashed" -name '*.safetensors' | head -n 1)
for n in 0 100 4096 100000; do
	truncate -s $n "$f"
	is "a file of $n bytes is put again" "$(kvput "$tmp/crashed" "$tmp/s.kv" 2>&1 | sed 's/ (.*//')" 'kvput: put 1, skipped 1'
	ok '... and is whole' kvstat verify -q "$tmp/crashed"
done
kvput -q --replace --compress zstd "$tmp/crashed" "$tmp/s.kv"
is 'a whole one of another size stays' "$(kvput "$tmp/crashed" "$tmp/s.kv" 2>&1 | sed 's/ (.*//')" 'kvput: put 0, skipped 2'
truncate -s 5000 "$f"
kvrecv -q --listen "unix:$tmp/sock" --into "$tmp/crashed" &
while [ ! -S "$tmp/sock" ]; do sleep 0.05; done
is 'kvsend sends it again' "$(kvsend "unix:$tmp/sock" "$tmp/s.kv" 2>&1 | grep -c 'receiver has 1, sent 1')" 1
wait
ok '... and it is whole' kvstat verify -q "$tmp/crashed"

# many threads, one order: that of the listing, each time
kvget -q 'gen:tiny?tokens=8192&chunk-tokens=16' | kvput -q order
for f in order/*/*/*/*[02468ace].kv.safetensors; do printf damaged | dd of="$f" bs=1 seek=6000 conv=notrunc 2>/dev/null; done
kvstat ls -o name order | grep '[02468ace]$' >wanted
for i in 1 2 3 4 5 6; do kvstat verify -q -j 8 -o name order; done >told
ok 'damaged chunks are told in order' sh -c 'test -s wanted && cat wanted wanted wanted wanted wanted wanted | cmp - told'
is 'and good ones' "$(kvstat verify -q -j 8 --all -o name order)" "$(kvstat ls -o name order)"
finish
