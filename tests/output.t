#!/bin/sh
# kvoutput(5) has every schema, every member of each object and every metric that the tools write.
# shellcheck disable=SC2317	# functions called through ok
. "${0%/*}/lib.sh"

cd "$tmp" || exit 1
python=/usr/bin/python3
need "$python" kvsend kvrecv
page=$here/../man/kvoutput.5

schemas=$(grep -rhoE 'kv\.[a-z]+/1' "$here/../cmd" "$here/../common" --include='*.c' | sort -u)
for schema in $schemas; do
	ok "the page has $schema" grep -qF "$schema" "$page"
done

# objects of every kind that can be had without a bucket
cp "$golden"/a.* "$golden"/b.* "$golden/config.json" .
at='--tokens a.tokens.json'
put() { kvput "$@" --geometry config.json 2>/dev/null; }
put --json 's"t' a.safetensors --tokens a.tokens.json --compress zstd --meta 'a"b=c' --label l >j
put 's"t' b.safetensors --tokens b.tokens.json
name=$(kvstat ls -o name 's"t' | head -n 1)
# shellcheck disable=SC2086	# words
{
	for verb in ls 'ls -l' du show chain 'verify --all' 'verify --manifest sums --update' 'index rebuild' 'index verify'; do
		kvstat $verb --json 's"t'
	done
	kvstat show --json 's"t' "$name"
	kvstat diff --json 's"t' mem:
	kvstat chain --json $at --from 's"t'
	kvstat chain --json $at --from 's"t' --model other --explain
	kvget 's"t' --json $at --access-log log -O stream.kv --metrics-file get.prom
	kvget --from 's"t' --from mem: --json -O stream.kv --metrics-file tiers.prom
	kvget 's"t' --json 123456789abc -O no.kv
	kvstat show --json stream.kv
	kvstat verify --json stream.kv --metrics-file verify.prom
	kvstat index import --json 's"t' log
	kvstat index export 's"t'
	kvstat sim log --capacity 1,2 --json
	kvget 'gen:tiny?tokens=10240' --bwlimit 4MB/s --progress=json -O big.kv
	kvrecv --json --listen unix://"$tmp/sock" --ready-file ready --into received --metrics-file recv.prom &
	until [ -s ready ]; do sleep 0.02; done
	kvsend --json unix://"$tmp/sock" stream.kv --metrics-file send.prom
	wait $!
	printf '* 1G 1d 1\n' >quotas
	kvevict --json 's"t' --quota-file quotas --max-chunks 1 --max-delete 100% --min-age 0 --audit-log audit --metrics-file evict.prom
	kvput --json new stream.kv --metrics-file put.prom
	cat log audit
} >>j 2>&1
grep '^{' j >objects
"$python" - "$page" "$here/../man" objects >missing 2>&1 <<'END'
import json, re, sys
tool = ''
text, item = {}, None
for line in open(sys.argv[1]):
    if line.startswith('.Ss'):
        tool, item = line[4:].strip(), None
    elif line.startswith('.It kv.'):
        item = [(s, tool) for s in re.findall(r'kv\.[a-z]+/1', line)]
    if item:
        for i in item:
            text[i] = text.get(i, '') + line
page = {n: open(sys.argv[2] + '/' + n).read().lower() for n in ('kvstat.1', 'kvchunk.5', 'kvstat-sim.1')}
also = {'kv.access/1': page['kvstat-sim.1'], 'kv.show/1': page['kvchunk.5'] + ' label a b '}
rows = 'ls du verify diff chain chains manifest'.split()
seen = set()
for line in open(sys.argv[3]):
    o = json.loads(line)
    schema, who = o['schema'], o.get('tool', '').split(' ')[0]
    seen.add(schema)
    words = ' '.join(t for (s, w), t in text.items() if s == schema and
        (schema != 'kv.summary/1' or w == 'Every tool' or who in w))
    words += also.get(schema, '')
    if schema[3:-2] in rows:
        words += page['kvstat.1']
    for member in o:
        if member != 'schema' and not all(w in re.findall(r'[a-z_0-9]+', words) for w in re.findall(r'\w+', member)):
            print(schema, who, member)
print('not seen:', *sorted({s for s, w in text} - seen))
END
is 'every member is in the page' "$(sort -u missing)" 'not seen: kv.lifecycle/1'

cat ./*.prom | sed 's/[{ ].*//' | sort -u >metrics
undescribed() {
	while read -r metric; do
		grep -o 'kvtools_[A-Za-z_]*' "$page" | sed 's/_TOOL_/_[a-z]*_/' >names
		echo "$metric" | grep -qxf names || echo "$metric"
	done <metrics
}
ok 'there are metrics' test "$(wc -l <metrics)" -gt 30
is 'every metric is in the page' "$(undescribed)" ''

# a dry run is no success, and what is not known is not told
kvevict -q 's"t' --max-chunks 0 -n --metrics-file dry.prom >/dev/null
kvput -q -n 's"t' stream.kv --metrics-file dry.prom
ok 'a dry run writes no metrics' test ! -e dry.prom
status 5 kvevict -q redis://127.0.0.1:1 --retries 0 --max-size 1 --metrics-file away.prom 2>/dev/null
is 'a store out of reach is not an empty one' "$(grep -c 'kvtools_store_\|limit' away.prom) $(grep -c 'last_exit_code.* 5$' away.prom)" '0 1'
status 2 kvevict -q 's"t' --max-size 1 --policy quota --metrics-file wrong.prom 2>/dev/null
is 'nor is a limit that was not looked at 0' "$(grep -c limit_bytes wrong.prom)" 0

# streams: chains are told as a store's are
kvget -q 's"t' >two.kv 2>/dev/null
kvput -q again a.safetensors --tokens a.tokens.json --geometry config.json
kvput -q again b.safetensors --tokens b.tokens.json --geometry config.json
kvget -q again >two.kv
is 'two prompts that begin alike are two chains' "$(kvstat show two.kv | cut -d, -f 1) $(kvstat chain -q again | wc -l)" '3 chunks in 2 chains 2'
is 'an empty list: nothing to do, which is done' "$(kvget again --names-from /dev/null 2>said | wc -c) $(grep -c 'such chunk' said)" '8192 0'
ok 'and that is no miss' status 0 kvget -q again --names-from /dev/null -O none.kv
ok 'nor of a stream' status 0 kvget -q two.kv --names-from /dev/null -O none.kv
kvget 'again?dialect=lmcache' -O none.kv 2>said
is 'a store whose objects are of another dialect is not just empty' "$(grep -c '3 objects there are unknown to dialect lmcache-fs' said)" 1
kvstat index export again 2>said
is 'no index: the remedy' "$? $(grep -c 'kvstat index rebuild' said)" '1 1'
finish
