#!/bin/sh
# The codecs against the zstd program, and on one core in memory.
#   codec.sh [FILE ...]    raw bf16 caches [2][layers][tokens][heads][head_dim]; PART bytes
#                          a layer-half (131072). Without files: made-up floats.
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/lib.sh"
codec=${KVTOOLS_OUT:-out}/bench/codec
: "${PART:=131072}" "${BYTES:=268435456}" "${JOBS:=$(nproc)}"
name=files
if [ $# -eq 0 ]; then
	"$codec" gen "$BYTES" >"$tmp/made"
	set -- "$tmp/made"
	name='made up'
fi
while [ "$(wc -c 2>/dev/null <"$tmp/kv" || echo 0)" -lt "$BYTES" ]; do
	cat "$@" >>"$tmp/kv"
done
BYTES=$(wc -c <"$tmp/kv")
rm -f "$tmp/made"

echo "codec: $name, $BYTES bytes, parts of $PART"
printf 'one core, in memory:\n%-18s %8s %12s %12s\n' codec ratio 'encode MB/s' 'decode MB/s'
for c in zstd planes+zstd planes+zstd:2 planes+zstd:13; do
	"$codec" measure "$c" "$PART" 2 1 "$tmp/kv"
done | awk -F '\t' '{ printf "%-18s %8.3f %12d %12d\n", $1, $2, $3, $4 }'

zstd -q -1 -T0 -f "$tmp/kv" -o "$tmp/kv.zst"
"$codec" encode planes+zstd "$PART" 2 "$JOBS" "$tmp/kv" >"$tmp/kv.planes"
"$codec" decode planes+zstd "$PART" 2 "$JOBS" "$tmp/kv.planes" | cmp - "$tmp/kv"
wc -c "$tmp/kv.zst" "$tmp/kv.planes" | awk -v n="$BYTES" '/zst$/ { z = $1 } /planes$/ { p = $1 }
	END { printf "ratio: planes+zstd %.3f, zstd -1 %.3f: %.3f x\n", n / p, n / z, z / p }'
echo "file to /dev/null, whole programs, $JOBS threads, median of $RUNS:"
race "planes+zstd encode -j$JOBS" "$codec encode planes+zstd $PART 2 $JOBS $tmp/kv >/dev/null" \
	'zstd -1 -T0' "zstd -q -1 -T0 -c $tmp/kv >/dev/null"
race "planes+zstd decode -j$JOBS" "$codec decode planes+zstd $PART 2 $JOBS $tmp/kv.planes >/dev/null" \
	'zstd -d' "zstd -q -d -c $tmp/kv.zst >/dev/null"
race 'planes+zstd decode -j1' "$codec decode planes+zstd $PART 2 1 $tmp/kv.planes >/dev/null" \
	'zstd -d' "zstd -q -d -c $tmp/kv.zst >/dev/null"
