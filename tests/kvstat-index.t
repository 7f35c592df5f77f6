#!/bin/sh
# The index: made, compared, written out, read in, from a store and from others' logs.
. "${0%/*}/lib.sh"
need /usr/bin/python3

kvget 'gen:tiny?tokens=2048&seed=3' 2>/dev/null | kvput "$tmp/kv" 2>/dev/null
ok 'rebuild'			kvstat index rebuild "$tmp/kv"
ok 'what was rebuilt is right'	kvstat index verify "$tmp/kv"
kvstat index export "$tmp/kv" >"$tmp/a"
is 'an entry a chunk'		"$(wc -l <"$tmp/a")" 8
ok 'chains are known: one root, parents and depths' /usr/bin/python3 - "$tmp/a" <<'PY'
import json, sys
v = [json.loads(l) for l in open(sys.argv[1])]
by = {x["hash"]: x for x in v}
assert len(by) == 8 and all(x["schema"] == "kv.index/1" for x in v)
assert sum(x["parent"] == "-" for x in v) == 1
for x in v:
    if x["parent"] != "-":
        assert by[x["parent"]].get("depth", 0) == x.get("depth", 0) - 1, x
PY
ok 'the state directory has it'	sh -c "ls '$tmp'/xdg/kvtools/index/*.db"
ok 'another spelling of the place' sh -c "cd '$tmp' && kvstat index verify ./kv/ && kvstat index verify file:kv"

# objects come and go
victim=$(find "$tmp/kv" -name '*.safetensors' | sort | head -n 1)
mv "$victim" "$tmp/victim"
ok 'what is gone shows'		sh -c "kvstat index verify '$tmp/kv' -o tsv >'$tmp/out'; [ \$? -eq 1 ] && grep -q '	gone	' '$tmp/out'"
ok 'rebuild forgets it'		sh -c "kvstat index rebuild '$tmp/kv' 2>&1 | grep -q '7 entries, 1 forgotten'"
mv "$tmp/victim" "$victim"
ok 'what is new shows'		sh -c "kvstat index verify '$tmp/kv' -o tsv >'$tmp/out'; [ \$? -eq 1 ] && grep -q '	unknown	' '$tmp/out'"
ok 'rebuild finds it'		kvstat index rebuild "$tmp/kv"

# uses, from logs
used=${victim##*/}
for i in 1 2 3 4 5; do
	printf '{"schema":"kv.access/1","time":177%d,"keys":["%s"]}\n' "$i" "${used%%.*}"
done >"$tmp/log"
ok 'import of our own log'	kvstat index import "$tmp/kv" "$tmp/log"
ok 'and from a pipe'		sh -c "kvstat index import '$tmp/kv' <'$tmp/log'"
ok 'uses are added'		sh -c "kvstat index export '$tmp/kv' | grep '\"hits\":10'"
ok 'uses outlive a rebuild'	sh -c "kvstat index rebuild '$tmp/kv' && kvstat index export '$tmp/kv' | grep '\"hits\":10'"
ok 'a line of nonsense is 3'	sh -c "{ cat '$tmp/log'; echo nonsense; } | kvstat index import '$tmp/kv'; [ \$? -eq 3 ]"
ok 'nothing but nonsense is 4'	sh -c "echo nonsense | kvstat index import '$tmp/kv'; [ \$? -eq 4 ]"
ok 'no such log form is 2'	status 2 kvstat index import --log apache "$tmp/kv" "$tmp/log"
hash=$(kvstat index export "$tmp/kv" | sed -n 's/.*"hash":"\([0-9a-f]*\)","parent":"-".*/\1/p')
printf '{"timestamp":1.5,"model_name":"m","chunk_hashes":["0x%s","0x1234"]}\n' "$hash" >"$tmp/lookup"
ok 'lookups by hash'		sh -c "kvstat index import '$tmp/kv' '$tmp/lookup' 2>&1 | grep -q '1 use of chunks'"

# the tools note what they do
kvget 'gen:tiny?tokens=512&seed=4' 2>/dev/null | kvput "$tmp/kv" 2>/dev/null
ok 'kvput notes what it puts'	kvstat index verify "$tmp/kv"
ok 'kvget notes uses'		sh -c "kvget '$tmp/kv' >/dev/null && kvget '$tmp/kv' >/dev/null &&
	kvstat index export '$tmp/kv' >'$tmp/a' && [ \$(grep -c '\"hits\":2' '$tmp/a') -ge 8 ] && ! grep -q '\"hits\":0' '$tmp/a'"
ok 'without an index there is none' sh -c "kvget 'gen:tiny?tokens=256' | kvput '$tmp/kv2' && kvget '$tmp/kv2' >/dev/null &&
	kvstat index export '$tmp/kv2'; [ \$? -eq 1 ]"
ok 'unless asked for'		sh -c "kvget '$tmp/kv2' --index auto >/dev/null && kvstat index export '$tmp/kv2' | grep -q '\"hits\":1'"
ok 'an index out of reach is a warning' sh -c "kvget '$tmp/kv2' --index redis://127.0.0.1:1 2>&1 >/dev/null | grep -q 'uses are not noted'"

# who has no home has no index, and no trouble
homeless() { env -u XDG_STATE_HOME HOME=/proc/none "$@"; }
is 'without a home: kvput and kvget' "$(homeless kvget -q "$tmp/kv2" | homeless kvput -q "$tmp/kv3" 2>&1)" ''
ok 'without a home: kvevict'	homeless kvevict "$tmp/kv3" --max-chunks 1
ok 'an index is not made there'	sh -c "env -u XDG_STATE_HOME HOME=/proc/none kvstat index rebuild '$tmp/kv3' 2>&1 | grep -- --index"

# a bucket's log, read without the bucket
log='{"bucket":"kv","time":"2026-02-03T04:05:06.7Z","operation":"get_obj","uri":"GET /kv/p/m%40x HTTP/1.1","http_status":"200","object_size":9}'
ok 'radosgw operations log'	sh -c "echo '[$log,' | kvstat index import s3://kv/p --log rgw"
is 'the object is noted'	"$(kvstat index export s3://kv/p | sed 's/,"accessed".*//')" '{"schema":"kv.index/1","name":"m@x","size":0'

# an index is no truth: it may be lost
db=$tmp/other.db
ok 'written out and read in again' sh -c "kvstat index export '$tmp/kv' >'$tmp/a' &&
	kvstat index import '$tmp/kv' --index '$db' '$tmp/a' &&
	kvstat index export '$tmp/kv' --index '$db' | cmp - '$tmp/a'"
ok 'the index of another store is 2' sh -c "kvstat index export s3://other/kv --index '$db'; [ \$? -eq 2 ]"
for suffix in '' -wal -shm; do
	[ -e "$db$suffix" ] && dd if=/dev/urandom of="$db$suffix" bs=4096 count=2 conv=notrunc 2>/dev/null
done
ok 'a damaged one is 4, and says what to do' sh -c "kvstat index export '$tmp/kv' --index '$db' 2>'$tmp/said'; [ \$? -eq 4 ] && grep -q 'index rebuild' '$tmp/said'"
ok 'which helps'		sh -c "kvstat index rebuild '$tmp/kv' --index '$db' && ls '$db'.damaged-*"
awk 'BEGIN { for (i = 0; i < 3000; i++) printf "{\"schema\":\"kv.index/1\",\"name\":\"n%05d\"}\n", i }' >"$tmp/3000"
kvstat index import -q "$tmp/kv" --index "$tmp/deep.db" "$tmp/3000"
dd if=/dev/urandom of="$tmp/deep.db" bs=4096 seek=15 count=10 conv=notrunc 2>/dev/null
ok 'damage deep in it is 4'	status 4 kvstat index export "$tmp/kv" --index "$tmp/deep.db"
ok 'and a rebuild helps'	sh -c "kvstat index rebuild '$tmp/kv' --index '$tmp/deep.db' && kvstat index verify '$tmp/kv' --index '$tmp/deep.db'"
/usr/bin/python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("CREATE TABLE precious (x)")' "$tmp/foreign.db"
cp "$tmp/foreign.db" "$tmp/foreign"
ok 'the database of another program is 2' sh -c "kvstat index rebuild '$tmp/kv' --index '$tmp/foreign.db'; [ \$? -eq 2 ]"
ok 'and stays as it was'	cmp "$tmp/foreign" "$tmp/foreign.db"
ok 'none yet is 1'		status 1 kvstat index export "$tmp/never"

# headers longer than a page do not come with the listing; parents that the index knows fill the gaps
kvget -q 'gen:layers=1200,heads=1,head_dim=8?tokens=320&chunk-tokens=16&seed=1' | kvput -q "$tmp/mixed"
kvget -q 'gen:layers=1200,heads=1,head_dim=8?tokens=640&chunk-tokens=16&seed=2' | kvput -q --compress planes+zstd "$tmp/mixed"
kvget -q "$tmp/mixed" >"$tmp/without"
is 'one in three has a short header' "$(find "$tmp/mixed" -name '*.safetensors' -exec head -c 2 {} \; | od -An -v -tu2 -w2 | sort | uniq -c | tr -s ' \n' ' ')" ' 20 4088 40 12280 '
kvstat index rebuild -q "$tmp/mixed"
ok 'chains with an index are those without' sh -c "kvget -q '$tmp/mixed' | cmp - '$tmp/without'"

# the same history in Redis gives the same plan
if command -v redis-server >/dev/null; then
	# shellcheck source=tests/server/redis.sh
	. "$here/server/redis.sh"
	redis_start ix
	url=redis://127.0.0.1:$redis_port
	kvstat index export "$tmp/kv" >"$tmp/a"
	ok 'an index in Redis'	sh -c "kvstat index import '$tmp/kv' --index $url '$tmp/a' && kvstat index export '$tmp/kv' --index $url | cmp - '$tmp/a'"
	ok 'rebuild and verify there' sh -c "kvstat index rebuild '$tmp/kv' --index $url && kvstat index verify '$tmp/kv' --index $url"
	ok 'the same plan from both' sh -c "
		for w in auto $url; do
			kvevict -n '$tmp/kv' --max-size 1200K --policy lru --min-age 0 --max-delete 100% --index \$w >'$tmp/plan.'\${w%%:*} || exit 1
		done
		[ -s '$tmp/plan.auto' ] && cmp '$tmp/plan.auto' '$tmp/plan.redis'"
	redis_stop ix
	ok 'a server that is gone is 5' status 5 kvstat index export "$tmp/kv" --index "$url"
fi
finish
