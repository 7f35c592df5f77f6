#!/bin/sh
# The first five minutes: install what is missing, build, then take the KV cache of two real
# prompts through a store and back. Ends with status 0 if everything was as it should be.
# Can be run again and again; leaves nothing behind but the build in out/.
set -eu
cd "$(dirname "$0")/.."
top=$PWD
. scripts/packages.sh

if [ -t 1 ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[36m') plain=$(printf '\033[0m')
else
	bold='' dim='' plain=''
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/kvtools-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

wrong() {
	printf '\ndemo: %s\n' "$*" >&2
	exit 1
}

# run STATUS COMMAND: show the command, run it, and see that it ends as it should. What it
# said stays in $work/said.
run() {
	printf '%s$ %s%s\n' "$dim" "$2" "$plain"
	got=0
	eval "$2" 2>"$work/said" || got=$?
	cat "$work/said"
	[ "$got" -eq "$1" ] || wrong "exit status $got, not $1"
	[ "$1" -eq 0 ] || echo "(exit status $got)"
}

# said TEXT: the last command's notes have it.
said() { grep -q -e "$1" "$work/said" || wrong "it did not say '$1'"; }

step 'Install what is missing, and build'
packages_install build
make -s -j"$(nproc)" all
for tool in out/kv*; do
	[ -d "$tool" ] || [ ! -x "$tool" ] || "$tool" --version
done
PATH=$top/out:$PATH
for file in a.safetensors b.safetensors a.tokens.json b.tokens.json config.json; do
	ln -s "$top/tests/golden/$file" "$work/"
done
export XDG_CONFIG_HOME="$work/.config" XDG_STATE_HOME="$work/.state" XDG_CACHE_HOME="$work/.cache"
cd "$work"

step 'Prompt A: 600 tokens of KV cache, cut into chunks, into a compressed store'
run 0 'kvput ./store a.safetensors --tokens a.tokens.json --geometry config.json --tail --compress auto'
said 'put 3, skipped 0'

step 'What lies there?'
run 0 'kvstat ls -l --sort chain ./store'
run 0 'kvstat du ./store'
run 0 'kvstat chain --tokens a.tokens.json --from ./store'

step 'Back again, every byte checked: the same file'
head=$(kvstat chain -o name ./store)
run 0 "kvget ./store --chain $(echo "$head" | cut -c 1-12) --export safetensors -O back.safetensors"
run 0 'cmp back.safetensors a.safetensors && echo identical'

step 'The same as a stream through a pipe, uncompressed on the way'
run 0 'kvget ./store --compress none | kvput ./plain'
said 'put 3, skipped 0'
run 0 'kvget ./plain > one.kv; kvget ./store --compress none | cmp - one.kv && echo identical'

step 'Prompt B begins like A: only what is new is stored'
run 0 'kvput ./store b.safetensors --tokens b.tokens.json --geometry config.json --tail --compress auto'
said 'put 2, skipped 1'
run 0 'kvstat chain ./store'

step 'Nothing is wrong, until one bit of one file flips'
run 0 'kvstat verify ./store'
file=$(find store -name "$head.kv.safetensors")
at=$(($(wc -c <"$file") / 2))
byte=$(od -An -tu1 -j "$at" -N 1 "$file" | tr -d ' ')
chmod u+w "$file"
# shellcheck disable=SC2059	# the format is the byte
printf "\\$(printf %03o $((byte ^ 16)))" | dd of="$file" bs=1 seek="$at" conv=notrunc 2>/dev/null
echo "(bit 4 of byte $at of $(basename "$file" | cut -c 1-12)... is another now)"
run 4 'kvstat verify ./store'
[ "$(kvstat verify -q -o name ./store 2>/dev/null)" = "$head" ] || wrong 'verify found something else'
run 4 'kvget ./store > all.kv'
run 4 'kvput -q ./copy all.kv'

printf '\n%sAll as it should be.%s Next: README.md, man -l man/kv.7, sh scripts/check.sh\n' "$bold" "$plain"
