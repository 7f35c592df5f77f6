#!/bin/sh
# Sealed well, and meant ill: chunks and stores that none of our writers would leave.
# shellcheck source=tests/lib.sh
. "${0%/*}/lib.sh"
need /usr/bin/python3

forge() { /usr/bin/python3 "$here/oracle/forge.py" "$@"; }
cd "$tmp" || exit 1
esc=$(printf '\033')
hash=$(printf 'ab%.0s' $(seq 32))

# ranks of one chunk that are cut from different wholes
{ forge tp=2 heads=0:4/8; forge tp=2 rank=1 heads=60000:4/70000; } >ranks.kv
ok 'each of them is a chunk' kvput -q null: ranks.kv
ok 'ranks of different shapes are not put together' status 4 kvget -q ranks.kv --to-tp 1 -O no.kv
ok 'and that is what is said' sh -c 'kvget -q ranks.kv --to-tp 1 2>&1 >no.kv |
	grep -q "different shapes"'
{ forge tp=2 heads=0:4/8; forge tp=2 rank=1 heads=4:4/8 shape=2,2,4,4,64; } >dims.kv
ok 'nor heads of different sizes' status 4 kvget -q dims.kv --to-tp 1 -O no.kv

# a rank again and again: memory is for each of them once
kvget -q 'gen:llama-3.1-8b?tokens=32&chunk-tokens=32' >rank.kv	# 4 MiB
cat >peak.py <<'END'
import resource, subprocess
p = subprocess.Popen(['kvget', '-q', '-', '--to-tp', '2', '-O', 'twice.kv'], stdin=subprocess.PIPE)
for i in range(60):
    p.stdin.write(open('rank.kv', 'rb').read())
p.stdin.close()
if p.wait() == 0:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 150000)
END
is 'a rank that is repeated is not kept' "$(ASAN_OPTIONS=quarantine_size_mb=1 \
	timeout 60 /usr/bin/python3 peak.py)" True
ok 'as if it had come once' sh -c 'kvget -q rank.kv --to-tp 2 | cmp - twice.kv'

# what is enciphered is not taken for numbers
forge cipher=rot13 >cipher.kv
ok 'a cipher we do not know goes by' kvput -q null: cipher.kv
ok 'it is not converted' status 4 kvget -q cipher.kv --to-dtype f32 -O no.kv
ok 'nor cut into ranks' status 4 kvget -q cipher.kv --to-tp 2 -O no.kv

# a few bytes that say they are gigabytes
forge codec=zstd shape=2,2,65536,64,128 bytes=4096 parts=1024,1024,1024,1024 \
	raw_digest="$(printf '00%.0s' $(seq 16))" >bomb.kv
ok 'a bomb goes by' kvput -q null: bomb.kv
ok 'it is not decoded' status 6 kvget -q bomb.kv --compress none -O no.kv
is 'and why' "$(kvget -q bomb.kv --compress none 2>&1 >no.kv | sed 's/.*chunk: //')" \
	'4 KiB that decode to 4 GiB: not decoded'

# a header as large as may be, full of names: half a minute once
forge names=80000 >names.kv
ok 'many names take no time' timeout -k 1 20 kvput -q null: names.kv

# texts from outside do not reach the terminal, nor break JSON
{ forge record=begin; forge record=abort reason="${esc}[31m
kvput: all is well"; } >abort.kv
is 'a reason has no escapes' "$(kvput null: abort.kv 2>&1 | grep -c "$esc\|^kvput: all")" 0
forge "${esc}x\"y=1" >name.kv
is 'a name has no escapes' "$(kvstat show -v name.kv | grep -c "$esc")" 0
ok 'a name breaks no JSON' sh -c 'kvstat show --json -v name.kv | head -n 1 |
	/usr/bin/python3 -m json.tool'
kvput -q "./q\"${esc}" name.kv
ok 'nor does that of a store' sh -c 'kvstat show --json "$1" | /usr/bin/python3 -m json.tool' x \
	"./q\"${esc}"
is 'which has no escapes either' "$(kvstat show "./q\"${esc}" | grep -c "$esc")" 0

# parents that are each other's children
a=$(printf '01%.0s' $(seq 32)) b=$(printf '02%.0s' $(seq 32))
{ forge hash="$a" parent="$b"; forge hash="$b" parent="$a"; } | kvput -q loop
ok 'a chain without end is refused' status 4 kvget -q loop --chain "$a" -O no.kv
is 'nor is it complete' "$(kvstat chain --head "$a" loop | cut -f 5)" damaged

# a reason is cut between characters, whatever the store is called
for name in $(printf '\303\251%.0s' $(seq 105)) $(printf '\377%.0s' $(seq 100)); do
	forge | kvput -q "./$name"
	printf x | dd of="$(find "./$name" -type f)" bs=1 seek=4100 conv=notrunc 2>/dev/null
	is 'its reader hears of it' "$({ kvget -q "./$name" 2>/dev/null; echo; } |
		kvput -q null: 2>&1 | cut -d : -f 2)" ' stream aborted by its producer'
done
ok 'long names are refused, as the page says' status 4 kvput -q null: "$(forge "$(printf 'n%.0s' $(seq 256))=1" >n.kv; echo n.kv)"
ok 'those of 255 bytes are not' kvput -q null: "$(forge "$(printf 'n%.0s' $(seq 255))=1" >n.kv; echo n.kv)"

# names that look like a way out
forge 'model=a..' >dots.kv
kvput -q dots dots.kv
is 'a model that ends in dots hides no store' "$(kvstat ls -o name dots)" "$hash"

# what is no file stands where a chunk belongs
forge >one.kv
kvput -q way one.kv
victim=$(find way -name '*.safetensors')
rm "$victim"
mkdir "$victim"
ok 'a directory is not taken for the chunk' status 2 kvput -q way one.kv
rmdir "$victim"
mkfifo "$victim"
ok 'nobody waits for a pipe' timeout -k 1 20 kvput -q way one.kv
ok 'the chunk replaces it' test -f "$victim"
finish
