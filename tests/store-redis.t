#!/bin/sh
# Redis and Valkey as a store, on real servers (redis-server 7.0 and Valkey 8.0 were tried).
. "${0%/*}/lib.sh"
need redis-server redis-cli openssl /usr/bin/python3
# shellcheck source=tests/server/redis.sh
. "$here/server/redis.sh"
unit=${KVTOOLS_OUT:-$here/../out}/unit
gen='gen:tiny?tokens=2048&seed=7'

kvget "$gen" >"$tmp/s" 2>"$tmp/gen.log" || { echo "Bail out! kvget $gen"; exit 1; }
there_and_back() {
	kvput "$1" <"$tmp/s" && kvget "$1" >"$tmp/back" && cmp "$tmp/s" "$tmp/back"
}
refused() {	# STATUS TEXT URL: kvget ends so, and says so
	status "$1" kvget "$3" >/dev/null 2>"$tmp/said" || { cat "$tmp/said"; return 1; }
	grep -q "$2" "$tmp/said" || { cat "$tmp/said"; return 1; }
}

# one server
redis_start plain || { echo 'Bail out! no redis-server'; exit 1; }
plain=$redis_port
url=redis://127.0.0.1:$plain
ok 'there and back'		there_and_back "$url"
ok 'the store contract'		env KVTOOLS_TEST_REDIS="$url/1" "$unit/redis"
ok 'a prefix that looks like a pattern' env KVTOOLS_TEST_REDIS="valkey://127.0.0.1:$plain/2?prefix=a[*]:" "$unit/redis"
ok 'a Unix socket'		there_and_back "redis+unix://$tmp/plain/sock?db=3"
ok 'a prefix'			there_and_back "$url/4/models"
is 'keys are where the URL says' "$(redis_cli plain -n 4 KEYS 'models/*' | wc -l)" "$(redis_cli plain -n 4 DBSIZE)"
redis_cli plain -n 5 SET 'foreign key' x >/dev/null
redis_cli plain -n 5 HSET hash a b >/dev/null
ok 'keys that are no strings are left alone' status 0 kvget "$url/5?retry=1s" --keep-going
ok 'with a time to live'		kvput "$url/6" --ttl 1h <"$tmp/s"
redis_key=$(redis_cli plain -n 6 RANDOMKEY)
ok 'the key expires'		[ "$(redis_cli plain -n 6 TTL "$redis_key")" -gt 3500 ]
ok 'to a directory and another database' sh -c "kvget '$url/6' | kvput '$tmp/d' && kvget '$tmp/d' | kvput '$url/9'"
ok 'it expires there, too'	[ "$(redis_cli plain -n 9 TTL "$redis_key")" -gt 3500 ]

# idle times are what evicts; looking must not reset them, where the server lets us
kvget 'gen:tiny?tokens=512' 2>/dev/null | kvput "$url/8" 2>/dev/null
for redis_key in $(redis_cli plain -n 8 --scan); do
	redis_cli plain -n 8 --raw DUMP "$redis_key" | head -c -1 |
		redis_cli plain -n 8 -X dump RESTORE "$redis_key" 0 dump REPLACE IDLETIME 100000 >/dev/null
done
last_use() {
	kvevict -n "$url/8" --max-size 1 --policy lru --min-age 0 --max-delete 100% 2>/dev/null |
		cut -f 5 | cut -c 1-10 | sort -u
}
is 'the last use is known'	"$(last_use)" "$(date -u -d '-100000 seconds' +%F)"
case $(redis_cli plain CLIENT NO-TOUCH ON) in
OK)
	is 'and stays what it was'	"$(last_use)" "$(date -u -d '-100000 seconds' +%F)"
	kvstat verify "$url/8" >/dev/null 2>&1
	is 'checking is no use'		"$(last_use)" "$(date -u -d '-100000 seconds' +%F)"
	kvget "$url/8" >/dev/null 2>&1
	is 'until there is a use'	"$(last_use)" "$(date -u +%F)"
	;;
esac

# with an LFU policy the server tells how often instead; that evicts, too, and stays as it was
redis_cli plain CONFIG SET maxmemory-policy allkeys-lfu >/dev/null
kvget 'gen:tiny?tokens=256&seed=1' 2>/dev/null | kvput "$url/10" 2>/dev/null
kvget 'gen:tiny?tokens=256&seed=2' 2>/dev/null | kvput "$url/10" 2>/dev/null
redis_freq=250
for redis_key in $(redis_cli plain -n 10 --scan | sort); do
	redis_cli plain -n 10 --raw DUMP "$redis_key" | head -c -1 |
		redis_cli plain -n 10 -X dump RESTORE "$redis_key" 0 dump REPLACE FREQ $redis_freq >/dev/null
	redis_rare=$redis_key redis_hash=${redis_key##*/} redis_freq=$((redis_freq - 150))
done
kvevict "$url/10" --max-chunks 1 --policy lfu --min-age 0 --max-delete 100% >"$tmp/lfu" 2>/dev/null
is 'the least often used goes'	"$(cut -f 1-3,6 "$tmp/lfu")" \
	"$(printf 'delete\tlfu\t%s\t100' "${redis_hash%%.*}")"
is 'and no other'		"$(redis_cli plain -n 10 DBSIZE) $(redis_cli plain -n 10 EXISTS "$redis_rare")" '1 0'
ok 'that is the policy if none is named'	sh -c "kvevict -n '$url/10' --max-chunks 0 --min-age 0 --max-delete 100% | grep -q '^delete	lfu	'"
ok 'a last use is not known then' sh -c "kvevict -n '$url/10' --max-size 1 --min-age 0 --policy lru 2>'$tmp/said'
	[ \$? -eq 2 ] && grep -q 'when objects were last used' '$tmp/said' && [ \$(wc -l <'$tmp/said') -eq 1 ]"
redis_cli plain CONFIG SET maxmemory-policy noeviction >/dev/null
ok 'the index contract'		env KVTOOLS_TEST_INDEX="$url/7" "$unit/index"

redis_stop plain
ok 'a server that is gone is 5'	refused 5 'connect' "$url?retry=1s"

# passwords and permissions
redis_start auth --requirepass sesame
auth=redis://127.0.0.1:$redis_port
ok 'no password is 6'		refused 6 'wants a password' "$auth"
ok 'a wrong one is 6'		env REDISCLI_AUTH=wrong sh -c "kvget '$auth' 2>&1 | grep -q 'wrong user or password'"
ok 'the right one' env REDISCLI_AUTH=sesame KVTOOLS_TEST_REDIS="$auth" "$unit/redis"
redis_cli auth -a sesame ACL SETUSER reader on '>pw' '~*' +@read +@keyspace +ping +select +cluster >/dev/null
ok 'a user who may only read'	env REDISCLI_AUTH=pw sh -c "kvget 'gen:tiny?tokens=256' 2>/dev/null | { kvput '$auth?user=reader' 2>&1; echo \$?; } | grep -q '^6\$'"
ok 'a password in the URL is 2' status 2 kvget "redis://u:p@127.0.0.1:$redis_port"
redis_stop auth

# commands that the server does without
redis_start less --rename-command DBSIZE '' --rename-command CLIENT ''
ok 'neither DBSIZE nor CLIENT'	there_and_back "redis://127.0.0.1:$redis_port"
redis_stop less

# TLS
redis_certs
tls_port=$(redis_free_port)
redis_start tls --tls-port "$tls_port" --tls-cert-file "$tmp/server.pem" --tls-key-file "$tmp/server.key" \
	--tls-ca-cert-file "$tmp/ca.pem" --tls-auth-clients optional
ok 'TLS'	env KVTOOLS_CA_BUNDLE="$tmp/ca.pem" KVTOOLS_TEST_REDIS="rediss://127.0.0.1:$tls_port" "$unit/redis"
ok 'a client certificate' env KVTOOLS_CA_BUNDLE="$tmp/ca.pem" KVTOOLS_CLIENT_CERT="$tmp/client.pem" \
	KVTOOLS_CLIENT_KEY="$tmp/client.key" sh -c "kvget 'rediss://localhost:$tls_port' >/dev/null"
ok 'an unknown authority is 6'	refused 6 'not trusted' "rediss://127.0.0.1:$tls_port"
ok 'plain to a TLS port says so' refused 5 'if it speaks TLS' "redis://127.0.0.1:$tls_port?retry=1s"
ok 'TLS to a plain port says so' env KVTOOLS_CA_BUNDLE="$tmp/ca.pem" sh -c \
	"kvget 'valkeys://127.0.0.1:$redis_port?timeout=1s' 2>&1 | grep -q 'no TLS'"
redis_stop tls

# full, with each policy
redis_start full --maxmemory 6mb
full=redis://127.0.0.1:$redis_port
for policy in noeviction allkeys-lru allkeys-lfu allkeys-random volatile-lru volatile-lfu volatile-random volatile-ttl; do
	redis_cli full FLUSHALL >/dev/null
	redis_cli full CONFIG SET maxmemory-policy $policy >/dev/null
	case $policy in
	allkeys-*) ok "$policy: old keys make room" sh -c "kvget '$gen' 2>/dev/null | kvput '$full'" ;;
	*) ok "$policy: full is 7" sh -c "head -c 1000000 </dev/zero | redis-cli -p $redis_port -x SET f1 >/dev/null
		redis-cli -p $redis_port CONFIG SET maxmemory 1mb >/dev/null
		kvget '$gen' 2>/dev/null | kvput '$full' 2>'$tmp/said'; s=\$?
		redis-cli -p $redis_port CONFIG SET maxmemory 6mb >/dev/null
		[ \$s -eq 7 ] && grep -q 'maxmemory' '$tmp/said'" ;;
	esac
done
redis_stop full

# a restart in the middle (with its data saved, as an operator would)
redis_start again --save 3600 1
again=$redis_port
cat >"$tmp/restart" <<SH
redis-cli -p $again SHUTDOWN SAVE
redis-server --port $again --bind 127.0.0.1 --save '' --dir "$tmp/again" --daemonize yes \
	--pidfile "$tmp/again/pid2" >/dev/null
SH
ok 'a restart during a copy'	env KVTOOLS_TEST_REDIS="redis://127.0.0.1:$again" \
	KVTOOLS_TEST_BREAK="sh $tmp/restart" "$unit/redis"
redis-cli -p "$again" SHUTDOWN NOSAVE 2>/dev/null

# a server that lies
redis_start real
kvput "redis://127.0.0.1:$redis_port" <"$tmp/s" 2>/dev/null
spoil() {	# MODE: its URL in $bad
	"$here/server/resphostile.py" "$1" "$redis_port" "$tmp/port.$1" 2>/dev/null &
	redis_pids="$redis_pids $!"
	redis_n=0
	until [ -s "$tmp/port.$1" ] || [ $redis_n -gt 250 ]; do redis_n=$((redis_n + 1)); sleep 0.02; done
	bad=redis://127.0.0.1:$(cat "$tmp/port.$1")
}
hostile() {	# MODE STATUS TEXT
	spoil "$1"
	bad="$bad?retry=1s&timeout=1s"
	if [ "$2" = 0 ]; then
		ok "hostile: $1: all comes through" sh -c "kvget '$bad' 2>'$tmp/said' | cmp - '$tmp/s'"
	else
		ok "hostile: $1 is $2" refused "$2" "$3" "$bad"
	fi
}
hostile truncate 5 'closed the connection'
hostile drop 0 ''
hostile flip 4 ''
hostile short 4 ''
hostile long 4 'longer than announced'
hostile huge 4 'bad number or length'
hostile limit 5 'closed'
hostile nest 4 'nested\|type'
hostile number 4 'type'
hostile garbage 4 'unknown type'
hostile endless 4 'endless line'
hostile moved 5 'slot is elsewhere'
hostile movedfar 5 'slot is elsewhere\|connect'
hostile ask 4 'no answer to ASKING'
hostile stall 5 'silent'
hostile loading 0 ''
hostile rounds 4 'does not end'

# an engine's own values have no digest: one value or the other, never halves of both
raw='dialect=lmcache-mp-resp&chunk-tokens=32'
kvget -q 'gen:llama-3.1-8b?tokens=64&chunk-tokens=32' | kvput -q "redis://127.0.0.1:$redis_port/4?$raw"
kvget -q "redis://127.0.0.1:$redis_port/4?$raw" --geometry llama-3.1-8b >"$tmp/first.kv"
spoil other
ok 'replaced after half of it was read, and read again' sh -c "
	kvget '$bad/4?$raw' --geometry llama-3.1-8b -O '$tmp/half.kv' && ! cmp -s '$tmp/first.kv' '$tmp/half.kv' &&
	kvget 'redis://127.0.0.1:$redis_port/4?$raw' --geometry llama-3.1-8b | cmp - '$tmp/half.kv'"

# writers of an index: others who are always there first, and an answer that is lost
noted() { kvstat index export "$tmp/ix" --index "redis://127.0.0.1:$redis_port" | grep -c "\"hits\":$1,"; }
kvput "$tmp/ix" --index "redis://127.0.0.1:$redis_port" <"$tmp/s" 2>/dev/null
kvget "$tmp/ix" --index "redis://127.0.0.1:$redis_port" >/dev/null 2>&1
for mode in nil lost; do
	spoil $mode
	timeout 20 kvget "$tmp/ix" --index "$bad" >/dev/null 2>"$tmp/said.$mode"
	echo $? >"$tmp/rc.$mode"
	noted 1 >"$tmp/once.$mode"
done
is 'never the first: the copy is done' "$(cat "$tmp/rc.nil")" 0
ok '... its uses are not, and that is said' grep -q 'too many write at once' "$tmp/said.nil"
is '... nor counted' "$(cat "$tmp/once.nil")" 8
is 'a lost answer: asked again' "$(cat "$tmp/rc.lost") $(grep -c noted "$tmp/said.lost")" '0 0'
is '... and counted at least once' "$(noted 3)" 8

# readers of an index
ix=redis://127.0.0.1:$redis_port/1
kvstat index export "$tmp/ix" --index "redis://127.0.0.1:$redis_port" >"$tmp/entries"
awk 'BEGIN { for (i = 0; i < 511; i++) printf "{\"schema\":\"kv.index/1\",\"name\":\"n%05d\",\"size\":1}\n", i }' >"$tmp/511"
kvstat index import "$tmp/ix" --index "$ix" "$tmp/511" 2>/dev/null
spoil page
ok 'a connection that breaks: no entry comes twice' sh -c "kvstat index export '$tmp/ix' --index '$bad' | cmp - '$tmp/entries'"
spoil names
ok 'more names than asked for are 4' sh -c "kvstat index export '$tmp/ix' --index '$bad/1' 2>'$tmp/said'
	[ \$? -eq 4 ] && grep -q 'more than asked for' '$tmp/said'"
is 'what was not read is not called unknown' "$(kvstat index verify "$tmp/ix" --index "$bad/1" -o tsv 2>/dev/null | grep -c unknown)" 0
spoil oom
printf '{"timestamp":1.5,"model_name":"m","chunk_hashes":["0x1234"]}\n' | cat "$tmp/entries" - >"$tmp/log"
ok 'entries that could not be written are 7, lookups or not' sh -c "kvstat index import '$tmp/ix' --index '$bad' '$tmp/log' 2>'$tmp/said'
	[ \$? -eq 7 ] && grep -q '8 notes lost' '$tmp/said'"
spoil deaf
awk 'BEGIN { for (i = 0; i < 9000; i++) printf "{\"schema\":\"kv.index/1\",\"name\":\"m%05d\"}\n", i }' >"$tmp/9000"
ok 'notes wait once for an index that is away' sh -c "timeout 15 kvstat index import '$tmp/ix' --index '$bad?retry=1s' '$tmp/9000' 2>'$tmp/said'
	[ \$? -eq 5 ] && grep -q '9000 notes lost' '$tmp/said'"
rm "$tmp/port.deaf"
spoil deaf
ok 'and so does kvevict' timeout 6 kvevict "$tmp/ix" --index "$bad?retry=1s" --max-chunks 0 --min-age 0 --max-delete 100%

# one that goes away: in the middle of a list, of a lock, of a deletion
redis_cli real -n 2 EVAL "for i = 1, 4000 do local h = redis.sha1hex(i)
	redis.call('SET', 'tiny/bf16-tp1-r0/' .. h:sub(1, 2) .. '/' .. h .. '.kv.safetensors', i) end" 0 >/dev/null
spoil late
is 'a list goes on, however long it took so far' "$(kvstat du "$bad/2?retry=1s" -o tsv | cut -f 2)" 4000
spoil lock
ok 'a lock whose answer was lost is held' kvevict --lock "$bad/2" --max-chunks 3999 --min-age 0
is '... and let go'		"$(redis_cli real -n 2 EXISTS kvtools:lock:evict)" 0
spoil gone
ok 'a deletion is given up after one wait' status 5 timeout 15 kvevict "$bad/2?retry=1s" --all --yes --min-age 0 --max-delete 100%
spoil nobody
ok 'a sentinel that tells nothing is 4' refused 4 'tells no address' "$bad?sentinel=kv"
redis_stop real

finish
