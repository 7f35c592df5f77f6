#!/bin/sh
# A Redis Cluster and sentinels as a store: slots move and masters die during copies.
. "${0%/*}/lib.sh"
need redis-server redis-cli /usr/bin/python3
# shellcheck source=tests/server/redis.sh
. "$here/server/redis.sh"
unit=${KVTOOLS_OUT:-$here/../out}/unit

kvget 'gen:tiny?tokens=2048&seed=7' >"$tmp/s" 2>/dev/null || { echo 'Bail out! kvget gen:tiny'; exit 1; }
there_and_back() {
	kvput "$1" <"$tmp/s" && kvget "$1" >"$tmp/back" && cmp "$tmp/s" "$tmp/back"
}

# a cluster of three masters and three replicas; slots move, a master dies
if redis_cluster 6; then
	cl=redis://127.0.0.1:$redis_port
	ok 'cluster: the store contract' env KVTOOLS_TEST_REDIS="$cl" "$unit/redis"
	ok 'cluster: the index contract' env KVTOOLS_TEST_INDEX="$cl" "$unit/index"
	ok 'cluster: there and back'	there_and_back "$cl/tools"
	# a slot half moved: its keys are asked for one by one at the new place (ASK)
	slot=$(redis-cli -p "$redis_port" CLUSTER KEYSLOT '{x}')
	for redis_i in 1 2 3 4 5 6; do
		redis_cli c$redis_i CLUSTER NODES | awk -v s="$slot" '/myself/ && /master/ { split($2, a, /[:@]/)
			for (i = 9; i <= NF; i++) { split($i, r, "-"); if (s >= r[1] && s <= r[2]) here = 1 }
			print (here ? "from" : "to"), $1, a[2] }'
	done >"$tmp/masters"
	# shellcheck disable=SC2046
	set -- $(grep '^from' "$tmp/masters") $(grep -m1 '^to' "$tmp/masters")
	redis-cli -p "$6" CLUSTER SETSLOT "$slot" IMPORTING "$2" >/dev/null
	redis-cli -p "$3" CLUSTER SETSLOT "$slot" MIGRATING "$5" >/dev/null
	ok 'cluster: a slot half moved' there_and_back "$cl?prefix={x}"
	is 'cluster: its keys are at the new place' "$(redis-cli -p "$3" CLUSTER COUNTKEYSINSLOT "$slot")" 0
	redis-cli -p "$6" CLUSTER SETSLOT "$slot" NODE "$5" >/dev/null
	redis-cli -p "$3" CLUSTER SETSLOT "$slot" NODE "$5" >/dev/null
	ok 'cluster: moved' sh -c "kvget '$cl?prefix={x}' 2>/dev/null | cmp - '$tmp/s'"

	cat >"$tmp/reshard" <<-SH
	redis-cli --cluster rebalance 127.0.0.1:$redis_port --cluster-use-empty-masters \
		--cluster-weight \$(redis-cli -p $redis_port CLUSTER MYID)=0.2 >"$tmp/reshard.log" 2>&1
	SH
	ok 'cluster: slots move during a copy' env KVTOOLS_TEST_REDIS="$cl" \
		KVTOOLS_TEST_BREAK="sh $tmp/reshard" "$unit/redis"
	ok 'cluster: a master dies during a copy' env KVTOOLS_TEST_REDIS="$cl,127.0.0.1:$redis_port" \
		KVTOOLS_TEST_BREAK="kill -9 $(cat "$tmp/c1/pid")" "$unit/redis"
	for redis_i in 2 3 4 5 6; do redis_stop c$redis_i KILL; done
else
	ok 'a cluster starts' cat "$tmp/cluster.log"
fi

# sentinels
redis_start m --repl-diskless-sync-delay 0
master=$redis_port
redis_start r --replicaof "127.0.0.1 $master" --repl-diskless-sync-delay 0
until redis_cli r INFO replication | grep -q 'master_link_status:up'; do sleep 0.05; done
redis_sentinels "$master"
sen="redis://$redis_sentinels/?sentinel=kv&retry=30s"
until redis_cli s1 SENTINEL replicas kv | grep -q "$redis_port"; do sleep 0.05; done
until redis_cli s1 SENTINEL sentinels kv | grep -c '^runid' | grep -q 2; do sleep 0.05; done
ok 'sentinels: there and back'	there_and_back "$sen"
ok 'sentinels: an unknown master is 2' sh -c \
	"kvget 'redis://$redis_sentinels/?sentinel=other' 2>&1 | grep 'knows no master'"
ok 'sentinels: the master dies during a copy' env KVTOOLS_TEST_REDIS="$sen" \
	KVTOOLS_TEST_BREAK="kill -9 $(cat "$tmp/m/pid")" "$unit/redis"
finish
