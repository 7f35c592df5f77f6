#!/bin/sh
# Why is a prompt not found? kvstat chain --explain names what the writer did otherwise, and its
# next command finds the chain.
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
golden=$here/golden
put() {	# STORE, options of kvput
	s=$1
	shift
	kvput -q "$s" "$golden/a.safetensors" --tokens "$golden/a.tokens.json" \
		--geometry "$golden/config.json" --model org/tiny-6l "$@" 2>/dev/null
}
why() {	# options of kvstat chain: its explanation, and what the next command's status is
	kvstat chain --explain --tokens "$golden/a.tokens.json" "$@" >out 2>/dev/null
	sed -n 's/^explanation: //p' out
	sed -n 's/^next: //p' out | head -n 1 >next
	test ! -s next || sh ./next >/dev/null 2>&1 && echo found
}
is_why() {	# NAME, WHAT, options
	name=$1 what=$2
	shift 2
	is "$name" "$(why "$@")" "$what"
}
put plain
kvget -q plain --to-tp 2 | kvput -q "two's"
kvget -q plain --to-dtype f8_e4m3fn | kvput -q eight
put tenant --tenant t1
put builtin --algo lmcache-builtin:seed=0

is_why 'another model' "they lie there under the model's name 'org/tiny-6l', not 'Tiny-6L'
found" --from plain --model Tiny-6L
is_why 'another world size, in a store that needs quotes' "they lie there for world size 2, not 4 (kvget --to-tp 4 cuts them so)
found" --from "two's" --tp 4
is_why 'another element type' "they lie there as f8_e4m3fn, not bf16 (kvget --to-dtype bf16 makes those)
found" --from eight --dtype bf16
is_why 'another tenant' "they lie there of tenant t1, not tenant t2
found" --from tenant --tenant t2
is_why 'a tenant at all' "they lie there of no tenant, not tenant t2
found" --from plain --tenant t2
is_why 'two things' "they lie there under the model's name 'org/tiny-6l', not 'x', and for world size 2, not 1 (kvget --to-tp 1 cuts them so)
found" --from "two's" --model x --tp 1
is_why 'another seed' 'the writer ran with another PYTHONHASHSEED: set the same on every node
found' --from builtin --algo lmcache-builtin:seed=42
is_why 'another algorithm, and model' 'the writer names chunks by another hash algorithm
found' --from builtin --model x
is_why 'another chunk size' 'the writer cuts chunks of another size
found' --from plain --chunk-tokens 128
ok 'what is there as asked needs no explanation' sh -c "kvstat chain --explain --tokens $golden/a.tokens.json --from plain --model tiny-6l >out; test \$? = 0 && ! grep -q explanation out"
echo '[1, 2, 3]' >short.json
ok 'a prompt too short says so' sh -c 'kvstat chain --explain --tokens short.json --from plain | grep -q "shorter than one chunk"'
/usr/bin/seq 1 2000 >other.txt
ok 'another prompt: nothing of it, and what models there are' sh -c "kvstat chain --explain --tokens other.txt --from plain --model x | grep -q \"plain has model 'org/tiny-6l', not 'x'\""
kvstat chain plain --head "$(kvstat chain -o name plain)" -o name >hashes
ok 'hashes are explained too' sh -c "kvstat chain --explain --hashes hashes --from plain --tp 8 | grep -q 'for world size 1, not 8'"
ok 'as JSON: match, cause, and the summary last' sh -c "kvstat chain --json --explain --tokens $golden/a.tokens.json --from plain --tp 8 >json; grep -q 'kv.match/1.*\"present\":2,\"usable\":2.*\"next\":\"kvstat chain' json && grep -q '\"cause\":\"world-size\"' json && tail -n 1 json | grep -q kv.summary/1"
finish
