#!/bin/sh
# Streams and directory stores against the tools that move the same bytes otherwise.
# 2 GiB of made-up Llama-3.1-8B chunks (32 MiB each) in tmpfs; SIZE_TOKENS and CHUNKS shrink it.
. "${0%/*}/lib.sh"
PATH="${KVTOOLS_OUT:-$(cd "${0%/*}/../.." && pwd)/out}:$PATH"
: "${SIZE_TOKENS:=16384}" "${CHUNKS:=100000}"

fast=$(mktemp -d /dev/shm/kvtools.bench.XXXXXX)
trap 'rm -rf "$tmp" "$fast"' EXIT
kvget -q "gen:llama-3.1-8b?tokens=$SIZE_TOKENS&seed=1" >"$fast/a.kv"
kvput -q "$fast/s" "$fast/a.kv"
find "$fast/s" -name '*.safetensors' | sort >"$fast/files"
BYTES=$(wc -c <"$fast/a.kv")
WARM=$((BYTES * 3 / 2))
echo "== streams and stores, $((BYTES >> 20)) MiB in tmpfs"
race 'kvput tmpfs' "rm -rf $fast/o; kvput -q $fast/o <$fast/a.kv" cp "rm -rf $fast/o; mkdir $fast/o; cp $fast/a.kv $fast/o/"
rm -rf "$fast/o"
race 'kvput disk' "rm -rf $tmp/o; kvput -q $tmp/o <$fast/a.kv" cp "rm -rf $tmp/o; mkdir $tmp/o; cp $fast/a.kv $tmp/o/"
race 'kvput disk, fsync' "rm -rf $tmp/o; kvput -q --fsync data $tmp/o <$fast/a.kv" 'dd conv=fdatasync' "rm -rf $tmp/o; mkdir $tmp/o; dd if=$fast/a.kv of=$tmp/o/a bs=1M conv=fdatasync status=none"
rm -rf "$tmp/o"
race 'kvget | cat' "kvget -q $fast/s | cat >/dev/null" 'cat | cat' "xargs cat <$fast/files | cat >/dev/null"
race 'kvget | kvput' "rm -rf $fast/o; kvget -q $fast/s | kvput -q $fast/o" 'cp -r' "rm -rf $fast/o; cp -r $fast/s $fast/o"
rm -rf "$fast/o"
race 'kvstat verify' "kvstat verify -q $fast/s" 'xxhsum -H2' "xargs xxhsum -H2 <$fast/files >/dev/null"
race 'kvstat verify' "kvstat verify -q $fast/s" 'b3sum' "xargs b3sum <$fast/files >/dev/null"
rm -rf "$fast"

unset BYTES WARM
echo "== a store of $CHUNKS small chunks"
fast=$(mktemp -d /dev/shm/kvtools.bench.XXXXXX)
kvget -q "gen:layers=1,heads=1,head_dim=16?tokens=$((CHUNKS * 16))&chunk-tokens=16" | kvput -q "$fast/s"
one=$(find "$fast/s" -name '*.safetensors' | sed -n 777p)
name=$(basename "$one" .kv.safetensors)
kvstat ls "$fast/s" >/dev/null
race 'kvstat ls' "kvstat ls -q $fast/s >/dev/null" 'find -printf' "find $fast/s -printf '%p %s %T@\n' >/dev/null"
${CC:-cc} -O2 -pthread -o "$tmp/readers" "${0%/*}/readers.c"
find "$fast/s" -name '*.safetensors' >"$tmp/list"
race 'kvstat ls -l' "kvstat ls -lq $fast/s >/dev/null" '2 threads: open, pread, close' "$tmp/readers $tmp/list"
race 'kvget of one chunk' "kvget -q $fast/s $name >/dev/null" cat "cat $one >/dev/null"
/usr/bin/time -f 'kvstat ls: %M KiB resident' kvstat ls -q "$fast/s" >/dev/null
/usr/bin/time -f 'kvstat ls -l: %M KiB resident' kvstat ls -lq "$fast/s" >/dev/null
