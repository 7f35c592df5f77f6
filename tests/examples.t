#!/bin/sh
# The EXAMPLES of the manual pages and of --help run as they stand there, but for those that need
# another host: buckets, servers and absolute paths are directories here.
. "${0%/*}/lib.sh"
need bash kvstat

# One file a literal block in EXAMPLES: page.N.sh
blocks() {
	awk -v to="$2" '
		/^\.Sh/ { on = $2 == "EXAMPLES" }
		on && /^\.Bd -literal/ { file = sprintf("%s.%d.sh", to, ++n); next }
		/^\.Ed/ { file = "" }
		on && file { gsub(/\\e/, "\\"); print > file }' "$1"
}

# One file an example of a --help: tool.help.N.sh
helps() {
	sed -n '/^examples:/,/^See/p' | awk -v to="$1.help" '
		/^  [^ ]/ { file = sprintf("%s.%d.sh", to, ++n) }
		/^  / && file { print > file }'
}

# What stands for what: s3://prod/kv is a directory s3-prod-kv, and so on.
stand_in() {
	sed -e 's,s3://\([a-z0-9-]*\)/\([a-z]*\),./s3-\1-\2,g' -e 's,shm:hot,./hot,g' \
		-e 's,redis://h\>,./redis,g' -e 's,redis://cache,cache.db,g' \
		-e 's,/nvme/lmcache\|/mnt/lmcache\|\./engine,./lm,g' -e 's,/nvme/kv,./nvme,g' \
		-e 's,/var/lib/node_exporter/\|/var/log/,./,g' -e 's,9ad0b1,d91666,g' "$1"
}

# What an example may lean on.
fixture() {
	mkdir "$1" && cd "$1" || exit 1
	cp "$golden"/a.safetensors "$golden"/b.safetensors "$golden"/*.json .
	for name in p a ids prompt; do cp a.tokens.json "$name.json"; done
	kvput -q store a.safetensors --tokens a.tokens.json --geometry config.json
	for name in st a kv redis hot nvme s3-prod-kv s3-bucket-kv s3-bucket-a; do cp -r store "$name"; done
	kvput -q 'lm?dialect=lmcache' a.safetensors --tokens a.tokens.json --geometry config.json \
		--algo lmcache-builtin:C:seed=0
	kvget -q store -O demo.kv
	for name in packed monday tuesday prompt; do cp demo.kv "$name.kv"; done
	kvstat sim --gen zipf,requests=100 --emit >trace.jsonl
	mkdir lookup_hashes
	echo '{"timestamp":1.5,"seq_len":512,"chunk_size":256,"chunk_hashes":["aa","bb"],"shapes":[[2,1,256,8]],"dtypes":["bfloat16"]}' \
		>lookup_hashes/1.jsonl
	: >ops.log
	kvstat verify -q --json st >bad
	export XDG_STATE_HOME="$PWD/state" XDG_CONFIG_HOME="$PWD/config"
	mkdir -p config/kvtools
	printf '[store prod]\nurl = %s/s3-prod-kv\n[store nvme]\nurl = %s/nvme\n' "$PWD" "$PWD" >config/kvtools/config
	for name in kv s3-prod-kv s3-bucket-kv; do kvstat index rebuild -q "$name"; done
}

example() (
	fixture run
	if grep -q 'kvstat diff.*|' ../one.sh; then exec bash -e ../one.sh; fi	# differs: 1
	exec bash -eo pipefail ../one.sh
)

cd "$tmp" || exit 1
for page in "$here"/../man/kv*.[157]; do
	blocks "$page" "$tmp/$(basename "$page")"
done
for tool in kvget kvput kvevict; do
	$tool --help | helps "$tool"
done
for verb in ls du show chain verify diff index sim; do
	kvstat "$verb" --help | helps "kvstat-$verb"
done
for block in "$tmp"/*.sh; do
	grep -qE '(^| )kv[a-z]+ ' "$block" || continue
	! grep -q jq "$block" || command -v jq >/dev/null || continue
	stand_in "$block" >one.sh
	if grep -qE '://|shm:|\./hot\?|:[0-9]|^\$' one.sh; then continue; fi
	ok "$(basename "$block" .sh): $(sed -n '1s/^ *//p' "$block")" example
	rm -rf run
done
ok 'those were most of them' test "$tap_n" -gt 30
finish
