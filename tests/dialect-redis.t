#!/bin/sh
# LMCache's forms in Redis: what an independent program (oracle/kv.py) makes and python3-redis
# stores we read, bit for bit; what we store is what python3-redis gets, byte for byte.
# shellcheck source=tests/lib.sh
. "${0%/*}/lib.sh"
need redis-server redis-cli /usr/bin/python3
/usr/bin/python3 -c 'import numpy, redis' 2>/dev/null || { echo '1..0 # SKIP python3-redis not here'; exit 0; }
# shellcheck source=tests/server/redis.sh
. "$here/server/redis.sh"

oracle() { /usr/bin/python3 "$here/oracle/kv.py" "$@"; }
client() { /usr/bin/python3 "$here/oracle/redis_copy.py" "$@"; }
cd "$tmp" || exit 1
redis_start db || exit 1
url=redis://127.0.0.1:$redis_port
oracle make .
db=0
for form in lmcache-redis lmcache-value lmcache-resp lmcache-mp-resp lmcache-mp-resp2; do
	case $form in
	lmcache-mp*) algo=blake3 full=blake3 ;;
	lmcache-redis) algo=lmcache-builtin full=lmcache-builtin:C:seed=0 ;;
	*) algo=lmcache-sha256_cbor full=lmcache-sha256_cbor:C:seed=0 ;;
	esac
	args="dialect=$form&chunk-tokens=64"
	db=$((db + 1))
	oracle store $form a.safetensors a.tokens.json $form --algo $algo --chunk 64
	client push $form "$redis_port" $db
	ok "$form: read" kvget "$url/$db?$args" --geometry=config.json --model org/some-model_x -f -O $form.kv
	ok "$form: every chunk is the prompt's" oracle stream $form.kv --tensors a.safetensors \
		--tokens a.tokens.json --algo $algo
	is "$form: four chunks" "$(oracle stream $form.kv | wc -l)" 4
	ok "$form: listed" sh -c "[ \$(kvstat ls '$url/$db?$args' -o name | wc -l) -eq 4 ]"
	db=$((db + 1))
	ok "$form: written" kvput "$url/$db?$args" a.safetensors --geometry=config.json \
		--tokens a.tokens.json --algo $full --chunk-tokens 64
	client pull "out-$form" "$redis_port" $db
	ok "$form: byte for byte the engine's" diff -r $form "out-$form"
done

# what the server lets live for a time lives no longer elsewhere
for redis_key in $(redis_cli db -n 5 --scan); do redis_cli db -n 5 EXPIRE "$redis_key" 500 >/dev/null; done
ok 'with times to live' sh -c "kvget '$url/5?dialect=lmcache-resp&chunk-tokens=64' --geometry config.json | kvput ttl &&
	kvget ttl | kvput '$url/11'"
is 'which stay' "$(for redis_key in $(redis_cli db -n 11 --scan); do
	redis_cli db -n 11 TTL "$redis_key"; done | awk '$1 > 400 && $1 <= 500' | wc -l)" 4

# orphan halves of LMCache's pairs: a chunk of one half is none
args="$url/1?dialect=lmcache-redis&chunk-tokens=64"
half=$(redis_cli db -n 1 --scan --pattern '*metadata' | sort | head -n 1)
redis_cli db -n 1 DEL "$half" >/dev/null
ok 'data without its metadata has vanished' sh -c "kvget '$args' --geometry config.json -f -O x.kv 2>&1 |
	grep -q 'vanished 1'"
is 'three chunks are left' "$(oracle stream x.kv | wc -l)" 3
half=$(redis_cli db -n 1 --scan --pattern '*kv_bytes' | sort | tail -n 1)
redis_cli db -n 1 DEL "$half" >/dev/null
ok 'halves go, with the reason' sh -c "kvevict '$args' --max-size 1G --min-age 0 --max-delete 100% >halves &&
	[ \$(grep -c half halves) -eq 2 ] && [ \$(wc -l <halves) -eq 2 ]"
is 'two whole pairs are left' "$(redis_cli db -n 1 --scan | sed 's/[a-z_]*$//' | sort | uniq -c | awk '{ print $1 }' | tr -d '\n')" 22
ok 'both halves are evicted together' sh -c "kvevict '$args' --all --yes --min-age 0 --max-delete 100% &&
	[ \$(redis-cli -p $redis_port -n 1 DBSIZE) -eq 0 ]"
finish
