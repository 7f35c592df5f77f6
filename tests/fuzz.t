#!/bin/sh
# Each fuzz target over its corpus: seeds, and what once went wrong.
. "${0%/*}/lib.sh"

for source in "$here"/fuzz/*.c; do
	name=${source##*/}
	name=${name%.c}
	[ "$name" != main ] || continue
	corpus=$here/fuzz/corpus/$name
	if [ ! -d "$corpus" ]; then
		skip "$name has no corpus"
		continue
	fi
	ok "$name: $(find "$corpus" -type f | wc -l) inputs" "$KVTOOLS_OUT/fuzz/$name" "$corpus"
done
finish
