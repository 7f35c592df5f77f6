#!/bin/sh
# kvevict on a real Ceph gateway: refusals, fifo, demotion, kill -9, lifecycle rules that expire.
# shellcheck disable=SC2317	# functions called through ok
# shellcheck source=tests/lib.sh
. "${0%/*}/lib.sh"
need radosgw ceph-mon ceph-osd monmaptool curl /usr/bin/python3

cd "$tmp" || exit 1
gateway=$here/server/radosgw.sh
at_exit='"$gateway" stop "$tmp/g"'
export AWS_SHARED_CREDENTIALS_FILE=/nonexistent AWS_CONFIG_FILE=/nonexistent
RGW_CLASS=COLD "$gateway" start "$tmp/g" >env.sh || { echo '1..0 # SKIP the gateway does not start'; exit 0; }
# shellcheck disable=SC1091
. ./env.sh

kvget -q 'gen:tiny?tokens=1024&chunk-tokens=32&seed=1' >a.kv	# 32
one=$((($(wc -c <a.kv) - 8192) / 32))
count() { kvstat ls -o name "$1" | wc -l; }
kvput -q --create-bucket s3://kvb/kv a.kv
for policy in lru lfu cost auto arc; do
	kvevict -q s3://kvb/kv --max-size 1 --policy $policy --min-age 0 >/dev/null 2>said
	is "policy $policy without an index is 2, with the remedy" "$? $(grep -c 'kvstat index rebuild' said)" '2 1'
done
ok 'young chunks stay' kvevict -q s3://kvb/kv --max-size 1 --max-delete 100%
is 'all of them' "$(count s3://kvb/kv)" 32
kvevict s3://kvb/kv --max-size $((28 * one)) --min-age 0 -n >dry.txt 2>said
ok 'without a policy it is fifo, and says so' grep -q 'policy fifo' said
ok 'as the dry run said' sh -c "kvevict -q s3://kvb/kv --max-size $((28 * one)) --min-age 0 --lock >real.txt && cmp dry.txt real.txt"
is 'four went' "$(count s3://kvb/kv)" 28
is 'no orphan' "$(kvevict -q s3://kvb/kv --unreachable --min-age 0 --max-delete 100% -n)" ''
export KVTOOLS_INDEX="$tmp/i.db"
kvstat index rebuild -q s3://kvb/kv >/dev/null
ok 'lru with an index' kvevict -q s3://kvb/kv --max-size $((26 * one)) --min-age 0 --policy lru
unset KVTOOLS_INDEX
ok 'demotes to a directory' kvevict -q s3://kvb/kv --max-chunks 20 --min-age 0 --demote-to cold
is 'six' "$(count s3://kvb/kv) $(count cold)" '20 6'
alias="s3://kvb/kv?endpoint-url=$(echo "$AWS_ENDPOINT_URL" | sed 's/127\.0\.0\.1/localhost/')"
ok 'a bucket by another name is the store itself' sh -c "kvevict s3://kvb/kv --max-chunks 18 --min-age 0 --demote-to '$alias' 2>&1 | grep -q 'demote to .*: that is the store itself'"
is 'and loses nothing' "$(count s3://kvb/kv)" 20
kvevict -q s3://kvb/kv --max-chunks 18 --min-age 0 --lock >/dev/null
is 'the lock is given back' "$(kvevict -q s3://kvb/kv --max-chunks 16 --min-age 0 --lock | wc -l)" 2

# killed in the middle, with requests on their way
kvput -q s3://kvb/kill a.kv
for seed in 2 3; do kvget -q "gen:tiny?tokens=1024&chunk-tokens=32&seed=$seed" | kvput -q s3://kvb/kill; done
export tmp
for max in 60 30 10; do
	set -- kvevict -q s3://kvb/kill --max-chunks "$max" --max-delete 100% --min-age 0 --lock
	ok "killed on its way to $max" /usr/bin/python3 "$here/model/kill.py" 3 "$@"
	ok ' no link of a chain is missing' kvstat chain s3://kvb/kill
	"$@" >/dev/null
	is ' the next run comes to the end' "$? $(count s3://kvb/kill)" "0 $max"
	ok ' and none is missing' kvstat chain s3://kvb/kill
done

# the server's own expiry; a day is two seconds there
kvput -q s3://kvb/other a.kv
ok 'installs a rule' sh -c 'kvevict s3://kvb/kv --install-lifecycle --ttl 1d >rules.txt'
is 'and reads it back' "$(tr '\t' ' ' <rules.txt)" 'kvtools-kv/ kv/ 1 1 enabled'
ok 'a second beside it' kvevict -q s3://kvb/next --install-lifecycle --ttl 30d
is 'makes two' "$(kvevict -q s3://kvb/kv --install-lifecycle --ttl 1d | wc -l)" 2
i=0
while [ "$(count s3://kvb/kv)" -gt 0 ] && [ $i -lt 60 ]; do sleep 0.5; i=$((i + 1)); done
is 'objects expire' "$(count s3://kvb/kv)" 0
is 'others stay' "$(count s3://kvb/other)" 32
is 'and the rule can be taken away' "$(kvevict -q s3://kvb/kv --install-lifecycle --ttl 0 | cut -f 2)" 'next/'

# another storage class
objects() { kvs3 "?list-type=2&prefix=$1" | grep -o '<StorageClass>[A-Z]*' | sort | uniq -c | tr -s ' \n' ' '; }
kvs3() {	# METHOD and arguments of curl come after the query
	q=$1; shift
	curl -sf --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@" "$AWS_ENDPOINT_URL/kvb$q"
}
kvevict -q s3://kvb/other --transition COLD --max-chunks 28 --min-age 0 -n >dry.txt
ok 'moves to another class' sh -c 'kvevict -q s3://kvb/other --transition COLD --max-chunks 28 --min-age 0 >real.txt; cmp dry.txt real.txt'
is 'four' "$(objects other%2F)$(cut -f 1 real.txt | uniq)" ' 4 <StorageClass>COLD 28 <StorageClass>STANDARD move'
is 'which are not seen again' "$(kvevict -q s3://kvb/other --transition COLD --max-chunks 28 --min-age 0)" ''
ok 'and can be read' sh -c 'kvget -q s3://kvb/other | cmp - a.kv'
kvput -q s3://kvb/meta a.kv
head=$(kvstat chain s3://kvb/meta | cut -f 1)
key=/meta/tiny/bf16-tp1-r0/$(echo "$head" | cut -c 1-2)/$head.kv.safetensors
kvs3 "$key" >leaf
kvs3 "$key" -T leaf -H 'x-amz-meta-whose: ours' -H 'x-amz-tagging: team=red'
ok 'one by its name' kvevict -q s3://kvb/meta "$head" --transition COLD --min-age 0
is 'keeps metadata' "$(kvs3 "$key" -I | tr -d '\r' | tr '[:upper:]' '[:lower:]' | grep -e meta-whose -e storage-class | sort | tr '\n' ' ')" \
	'x-amz-meta-whose: ours x-amz-storage-class: cold '
is 'and tags' "$(kvs3 "$key?tagging=" | grep -o '<Key>.*</Value>')" '<Key>team</Key><Value>red</Value>'
ok 'no such class' status 2 kvevict -q s3://kvb/other --transition NOPE --max-chunks 27 --min-age 0
ok 'directories have no classes' status 2 kvevict -q cold --transition COLD --max-chunks 1
ok 'nothing is deleted' status 2 kvevict -q s3://kvb/other --transition COLD --unreachable

# a versioned bucket
kvs3 '?versioning=' -X PUT --data '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
versions() { kvs3 '?prefix=v%2F&versions=' | grep -o -e '<Version>' -e '<DeleteMarker>' | sort | uniq -c | tr -s ' \n' ' '; }
for i in 1 2; do kvs3 /v/notes.txt -X PUT --data "of somebody else, $i"; done
kvs3 /v/gone.txt -X PUT --data 'deleted by somebody else'
kvs3 /v/gone.txt -X DELETE
theirs=' 1 <DeleteMarker> 3 <Version> '
is 'others have versions there, too' "$(versions)" "$theirs"
kvput -q s3://kvb/v a.kv
kvput -q --replace s3://kvb/v a.kv
kvevict -q s3://kvb/v --max-chunks 28 --min-age 0 >/dev/null
is 'a delete deletes nothing there' "$(versions)" ' 5 <DeleteMarker> 67 <Version> '
ok 'young versions stay' kvevict -q s3://kvb/v --versions
is 'all of them' "$(versions)" ' 5 <DeleteMarker> 67 <Version> '
ok 'with names, the versions of those' sh -c 'n=$(kvstat ls -o name s3://kvb/v | tail -n 1); kvevict -q s3://kvb/v "${n##*/}" --min-age 0 --versions -n'
kvevict -q s3://kvb/v --max-chunks 24 --min-age 0 --versions -n >dry.txt
ok 'with its versions' sh -c 'kvevict -q s3://kvb/v --max-chunks 24 --min-age 0 --versions >real.txt; cmp dry.txt real.txt'
is 'what lay behind is told' "$(cut -f 1,2 real.txt | sort | uniq -c | tr -s ' \t\n' ' ')" ' 4 delete fifo 4 sweep marker 36 sweep version '
is 'and gone' "$(versions)" ' 1 <DeleteMarker> 27 <Version> '
ok 'the rest is whole' kvstat verify -q s3://kvb/v
ok 'all of it' kvevict -q s3://kvb/v --all --yes --min-age 0 --versions
is 'is nothing but theirs' "$(versions)" "$theirs"
ok 'directories keep no versions' status 2 kvevict -q cold --versions
finish
