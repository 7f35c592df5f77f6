#!/bin/sh
# Stores of other engines: what an independent program (oracle/kv.py) writes we read, bit for
# bit; what we write is what it writes, byte for byte; what cannot be is refused.
# shellcheck source=tests/lib.sh
. "${0%/*}/lib.sh"
need /usr/bin/python3
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo '1..0 # SKIP numpy not here'; exit 0; }

oracle() { /usr/bin/python3 "$here/oracle/kv.py" "$@"; }
cd "$tmp" || exit 1
model=org/some-model_x
oracle make .
geom=--geometry=config.json
cbor=lmcache-sha256_cbor
# chunks of 64 tokens; heads 4; 300 tokens: four chunks and a tail

# form, algorithm of the names, its full name, more for the oracle, more for the URL
forms="lmcache-fs lmcache-fs-raw lmcache-fs-old lmcache-fs-old-raw lmcache-gds lmcache-weka
	lmcache-redis lmcache-value lmcache-resp lmcache-s3 lmcache-mp-fs lmcache-mp-fs2 lmcache-mp-resp
	lmcache-mp-resp2 lmcache-mp-s3 lmcache-mp-s3-2 vllm-fs llmd-fs"

algo_of() {
	case $1 in
	lmcache-mp*) echo blake3 ;;
	lmcache-fs | lmcache-redis) echo lmcache-builtin ;;
	lmcache-*) echo $cbor ;;
	*) echo vllm-sha256_cbor ;;
	esac
}
full() { case $1 in blake3) echo blake3 ;; lmcache-*) echo "$1:C:seed=0" ;; *) echo "$1:seed=0" ;; esac; }
args_of() {
	case $1 in
	vllm-fs) echo '&chunk-tokens=64&layout=g3-nhd&block=16' ;;
	llmd-fs) echo '&chunk-tokens=64&layout=g2-hnd&block=16' ;;
	*) echo '&chunk-tokens=64' ;;
	esac
}
layout_of() { case $1 in llmd-fs) echo g2-hnd ;; *) echo g3-nhd ;; esac; }

for form in $forms; do
	algo=$(algo_of "$form")
	args=$(args_of "$form")
	oracle store "$form" a.safetensors a.tokens.json "$form" --algo "$algo" --chunk 64 --block 16 \
		--layout "$(layout_of "$form")"
	ok "$form: read" kvget "$form?dialect=$form$args" "$geom" --model "$model" -f -O "$form.kv"
	ok "$form: every chunk is the prompt's" oracle stream "$form.kv" --tensors a.safetensors \
		--tokens a.tokens.json --algo "$algo"
	is "$form: four chunks" "$(oracle stream "$form.kv" | wc -l)" 4
	ok "$form: written" kvput "out-$form?dialect=$form$args" a.safetensors "$geom" \
		--tokens a.tokens.json --algo "$(full "$algo")" --chunk-tokens 64
	ok "$form: byte for byte the engine's" diff -r "$form" "out-$form"
	ok "$form: listed" kvstat ls "$form?dialect=$form$args"
done

# detection, said aloud
for form in lmcache-fs lmcache-fs-raw lmcache-fs-old lmcache-gds lmcache-s3 lmcache-mp-fs \
	lmcache-mp-resp vllm-fs; do
	kvget "$form?chunk-tokens=64&layout=g3-nhd" --geometry config.json -f -O d.kv 2>said
	is "$form: detected" "$(sed -n "s/.*: \([a-z0-9-]*\): \([0-9]*\) of \2 objects/\1/p" said)" "$form"
done
ok 'writing beside other files is refused' status 2 kvput lmcache-fs a.safetensors \
	--tokens a.tokens.json

# two ranks and a tenant; ranks put together again
oracle store lmcache-mp-fs a.safetensors a.tokens.json tp2 --chunk 64 --tp 2 --salt tenant7
oracle store lmcache-mp-fs a.safetensors a.tokens.json tp1 --chunk 64 --salt tenant7
ok 'two ranks: read' kvget 'tp2?chunk-tokens=64' --geometry config.json -f -O tp2.kv
ok 'two ranks: each has its heads' oracle stream tp2.kv --tensors a.safetensors \
	--tokens a.tokens.json
is 'two ranks: eight chunks' "$(oracle stream tp2.kv | wc -l)" 8
ok '--to-tp 1' kvget tp2.kv --to-tp 1 -f -O tp1.kv
ok '--to-tp 1: as if it had been one rank' oracle stream tp1.kv --tensors a.safetensors \
	--tokens a.tokens.json
ok '--to-tp 1: written' kvput 'out-tp1?dialect=lmcache-mp&chunk-tokens=64' tp1.kv
ok '--to-tp 1: the file that one rank would have left' diff -r tp1 out-tp1
kvget tp1.kv --to-tp 4 -f -O tp4.kv
ok '--to-tp 4 and back' kvget tp4.kv --to-tp 2 -f -O tp2b.kv
ok '--to-tp 4 and back: identical' cmp tp2.kv tp2b.kv
ok '--to-tp 3 cannot be' status 2 kvget tp1.kv --to-tp 3 -f -O no.kv
rm "$(find tp2 -name '*02010201*' | head -n 1)"
ok 'a rank is missing' status 4 kvget 'tp2?chunk-tokens=64' --geometry config.json --to-tp 1 \
	-f -O no.kv
ok 'and nothing is left' test ! -e no.kv

# from one engine to the other: new names, which only tokens give
ok 'other names without tokens are refused' status 2 kvput 'no?dialect=lmcache-mp' lmcache-fs.kv
ok '--rename' kvget 'lmcache-fs?chunk-tokens=64' --geometry config.json --tokens a.tokens.json \
	--algo lmcache-builtin:C:seed=0 --chunk-tokens 64 --rename blake3 -f -O renamed.kv
ok '--rename: written' kvput 'out-renamed?dialect=lmcache-mp' renamed.kv
ok '--rename: the other engine would have written this' diff -r lmcache-mp-fs out-renamed
ok '--rename: chain known' kvput native renamed.kv
ok '--rename: by all its links' kvstat chain native --chunk-tokens 64 \
	--head "$(oracle stream renamed.kv | sed -n '4s/ .*//p')"
ok 'a prompt, by the names of an engine' kvstat chain "lmcache-fs" --tokens a.tokens.json \
	--chunk-tokens 64 --algo lmcache-builtin:C:seed=0
ok 'tokens of another prompt' status 1 kvget 'lmcache-fs?chunk-tokens=64' --geometry config.json \
	--rename blake3 --tokens "$golden/a.tokens.json" --chunk-tokens 64 -f -O no.kv

# what engines' files may be like
mkdir one
kvget 'lmcache-mp-fs?chunk-tokens=64' -f -O no.kv 2>said
ok 'geometry is needed' grep -q -e '--geometry' said
cp -r lmcache-mp-fs two
cp config.json two
ok 'geometry from config.json beside them' kvget 'two?chunk-tokens=64' -f -O two.kv
ok 'geometry from config.json: the tensors' oracle stream two.kv --tensors a.safetensors \
	--tokens a.tokens.json
rm two/config.json
cp -r native/* two
ok 'geometry from a chunk of ours beside them' kvget 'two?chunk-tokens=64&dialect=lmcache-mp' -f \
	-O two.kv
ok 'geometry from a chunk: the tensors' oracle stream two.kv --tensors a.safetensors \
	--tokens a.tokens.json
f=$(find lmcache-mp-fs -type f | head -n 1)
cp "$f" "one/${f##*/}"
printf '%029d' 0 >>"one/${f##*/}"
ok 'an encrypted frame' status 4 kvget 'one?chunk-tokens=64' --geometry config.json -f -O no.kv
kvget 'one?chunk-tokens=64' --geometry config.json -f -O no.kv 2>said
ok 'an encrypted frame is named' grep -q encrypt said
f=$(find lmcache-fs -type f | head -n 1)
cp "$f" "one/${f##*/}"
rm one/*0x*
truncate -s -1 "one/${f##*/}"
ok 'a file cut short' status 4 kvget 'one?dialect=lmcache' -f -O no.kv
ok 'a layout must be told' status 2 kvget vllm-fs --geometry config.json -f -O no.kv

ok 'sizes alone' kvstat verify 'lmcache-mp-fs?chunk-tokens=64&geometry=config.json' --quick
cp "$(find lmcache-mp-fs -type f | head -n 1)" one
truncate -s -2 one/*0x*
ok 'sizes alone: one is odd' status 4 kvstat verify 'one?dialect=lmcache-mp&geometry=config.json' \
	--quick
ok 'sizes alone: not without geometry' status 2 kvstat verify 'one?dialect=lmcache-mp' --quick
cp -r vllm-fs canonical
sed -i 's/"tp_size"/"canonical_format": "v1-nhd", "tp_size"/' canonical/*/config.json
ok 'pages of a shared format are not taken for those of a rank' sh -c \
	"kvget 'canonical?layout=g3-nhd' --geometry config.json -f -O no.kv 2>&1 | grep canonical_format"
cp -r vllm-fs odd
truncate -s -4096 "$(find odd -name '*.bin' | head -n 1)"
ok 'sizes alone: engine pages' status 4 kvstat verify 'odd?layout=g3-nhd&geometry=config.json' --quick

# checksums that engines do not keep
ok 'manifest made' kvstat verify lmcache-gds --manifest sums --update
ok 'manifest: all good' kvstat verify lmcache-gds --manifest sums
is 'manifest: twins too' "$(grep -c 'kvcache.safetensors' sums)" 8
command -v xxhsum >/dev/null && ok 'xxhsum reads it' sh -c 'cd lmcache-gds && xxhsum -c ../sums'
f=$(find lmcache-gds -name '*.safetensors' | head -n 1)
printf x | dd of="$f" bs=1 seek=9000 conv=notrunc 2>/dev/null
ok 'manifest: a changed byte' status 4 kvstat verify lmcache-gds --manifest sums
is 'manifest: of that file' "$(kvstat verify lmcache-gds --manifest sums -o tsv 2>/dev/null |
	cut -f 1-2)" "$(printf '%s\tcorrupt' "${f#*/}")"
ok 'manifest: --update does not bless it' status 4 kvstat verify lmcache-gds --manifest sums --update
rm "$f"
ok 'manifest: a missing object' status 1 kvstat verify lmcache-gds --manifest sums
echo new >lmcache-gds/new
ok 'manifest: missing and new' status 3 kvstat verify lmcache-gds --manifest sums
ok 'manifest: --update takes both' kvstat verify lmcache-gds --manifest sums --update
ok 'manifest: all good again' kvstat verify lmcache-gds --manifest sums
sed -i 3s/./z/ sums
ok 'manifest: damaged itself' status 4 kvstat verify lmcache-gds --manifest sums

# element types
kvget 'gen:tiny?tokens=512&seed=3' -f -O bf16.kv
ok '--to-dtype f32' kvget bf16.kv --to-dtype f32 -f -O f32.kv
ok '--to-dtype: bf16 fits into f32' kvget f32.kv --to-dtype bf16 -f -O back.kv
ok '--to-dtype: and is what it was' cmp bf16.kv back.kv
ok '--to-dtype f8_e4m3fn' kvget bf16.kv --to-dtype f8_e4m3fn --to-scale 0.0625 -f -O f8.kv
is '--to-dtype: the scale goes along' "$(grep -a -o '"[kv]_scale":"0.0625"' f8.kv | wc -l)" 4
kvget f8.kv --to-dtype f8_e4m3fnuz -f -O fnuz.kv
ok '--to-dtype: 8 bits to 8 bits and back' kvget fnuz.kv --to-dtype f8_e4m3fn -f -O f8b.kv
ok '--to-dtype: small numbers are what they were' cmp f8.kv f8b.kv
ok '--to-scale codes' kvget f8.kv --to-dtype f8_e4m3fnuz --to-scale codes -f -O codes.kv
is '--to-scale codes: the scale is doubled' "$(grep -a -o '"[kv]_scale":"0.125"' codes.kv |
	wc -l)" 4
ok '--to-scale codes, back' kvget codes.kv --to-dtype f8_e4m3fn --to-scale codes -f -O f8c.kv
ok '--to-scale codes: the same' cmp f8.kv f8c.kv
ok '--to-scale codes: only of twins' status 2 kvget bf16.kv --to-dtype f8_e5m2 --to-scale codes \
	-f -O no.kv
ok '--to-dtype: what is no number format' status 2 kvget bf16.kv --to-dtype u8 -f -O no.kv

# tensor files
for form in safetensors npy; do
	kvput "t-$form" a.safetensors --tokens a.tokens.json --tail --chunk-tokens 64 --compress zstd
	ok "export $form" kvget "t-$form" --export "$form" -O "x.$form"
	ok "import $form" kvput "u-$form" "x.$form" "$geom" --tokens a.tokens.json --tail \
		--chunk-tokens 64
	kvget "t-$form" --compress none -f -O t.kv
	kvget "u-$form" -f -O u.kv
	ok "$form: the same chunks" cmp t.kv u.kv
done
ok 'exported tensors are the original' oracle equal a.safetensors x.safetensors
ok 'an export into no directory is 2' status 2 kvget t.kv --export npy -O none/x.npy
mkdir only
ok 'an export leaves nothing else' sh -c 'kvget t.kv --export npy -O only/x.npy && test "$(ls -A only)" = x.npy'
ok 'nor does it need O_TMPFILE, which NFS has not' sh -c 'strace -o open.log true || exit 0
	ASAN_OPTIONS=detect_leaks=0 strace -f -o open.log kvget t.kv --export npy -O only/x.npy
	grep -q only open.log && ! grep O_TMPFILE open.log'
/usr/bin/python3 -c '
import numpy, sys
sys.path.insert(0, "'"$here"'/oracle")
import kv
assert (numpy.load("x.npy") == kv.load("a.safetensors")[1]).all()'
is 'numpy reads ours' $? 0
for gen in g1-nhd g2-nhd g3-nhd; do
	oracle example a.safetensors a.tokens.json "ex-$gen" --layout $gen
	ok "folder of generation $gen" kvget "$(echo "ex-$gen"/*)" "$geom" --chunk-tokens 64 --tail -f \
		-O ex.kv
	ok "folder of generation $gen: the prompt's tensors" oracle stream ex.kv --tensors a.safetensors
	ok "a store of such folders" kvget "ex-$gen?model=$model" -f -O ex.kv
	is "a store of such folders: a chunk each" "$(oracle stream ex.kv | cut -d ' ' -f 2)" 288
	ok "folder of generation $gen: exported" kvget t.kv --export vllm-example --to-layout $gen \
		--tokens a.tokens.json --chunk-tokens 64 --tail -O "out-ex-$gen"
	ok "folder of generation $gen: byte for byte" diff -r "ex-$gen" "out-ex-$gen"
done
finish
