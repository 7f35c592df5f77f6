# shellcheck shell=sh disable=SC2154,SC2317	# tmp is of lib.sh; traps call
# Redis servers for tests; source it after lib.sh, which gives $tmp and at_exit.
#   redis_start NAME [--option value ...]	one server; its port in $redis_port
#   redis_stop NAME [SIGNAL]			ends it, and waits until it has ended
#   redis_cli NAME ARG...			redis-cli on its Unix socket
#   redis_cluster N				servers c1 ... cN with all slots shared out
#   redis_sentinels MASTER			three sentinels of "kv"; ports in $redis_sentinels
#   redis_certs				$tmp/ca.pem, and server.pem, client.pem (with keys)
# They are what is called redis-server in $PATH: links of that name to Valkey's programs do, too.
# Each server lives in $tmp/NAME, listens on 127.0.0.1 and a Unix socket, and saves nothing.

redis_pids=''
at_exit="${at_exit:-:}; redis_kill_all"

redis_kill_all() {
	for redis_p in $redis_pids; do kill -9 "$redis_p" 2>/dev/null; done
	wait 2>/dev/null
}

# A port that nobody listens on now; the next start may lose it all the same, and tries again.
redis_free_port() {
	/usr/bin/python3 - <<-'PY'
	import random, socket
	while True:
	    port = random.randrange(20000, 29000)
	    try:
	        for p in (port, port + 10000):
	            s = socket.socket()
	            s.bind(("127.0.0.1", p))
	            s.close()
	        print(port)
	        break
	    except OSError:
	        pass
	PY
}

redis_cli() {
	redis_name=$1
	shift
	redis-cli -s "$tmp/$redis_name/sock" "$@" 2>/dev/null
}

redis_await() {
	redis_n=0
	until redis_cli "$1" PING | grep -q 'PONG\|NOAUTH\|LOADING'; do
		kill -0 "$2" 2>/dev/null || return 1
		redis_n=$((redis_n + 1))
		[ "$redis_n" -lt 500 ] || return 1
		sleep 0.02
	done
}

redis_run() {
	redis_name=$1
	shift
	mkdir -p "$tmp/$redis_name"
	redis-server "$@" --bind 127.0.0.1 --dir "$tmp/$redis_name" --unixsocket "$tmp/$redis_name/sock" \
		--logfile "$tmp/$redis_name/log" --daemonize no >/dev/null 2>&1 &
	redis_pid=$!
	echo "$redis_pid" >"$tmp/$redis_name/pid"
	redis_pids="$redis_pids $redis_pid"
	redis_await "$redis_name" "$redis_pid"
}

redis_start() {
	redis_what=$1
	shift
	for redis_try in 1 2 3 4 5; do
		redis_port=$(redis_free_port)
		redis_run "$redis_what" --port "$redis_port" --save '' --appendonly no "$@" && return 0
	done
	echo "# redis_start $redis_what: $redis_try tries" >&2
	return 1
}

redis_stop() {
	redis_pid=$(cat "$tmp/$1/pid")
	kill "-${2:-TERM}" "$redis_pid" 2>/dev/null
	wait "$redis_pid" 2>/dev/null
	:
}

redis_cluster() {
	redis_i=0
	redis_ports=''
	while [ "$redis_i" -lt "$1" ]; do
		redis_i=$((redis_i + 1))
		redis_start "c$redis_i" --cluster-enabled yes --cluster-node-timeout 1500 \
			--cluster-require-full-coverage no --repl-diskless-sync-delay 0 || return 1
		redis_ports="$redis_ports 127.0.0.1:$redis_port"
	done
	# shellcheck disable=SC2086
	redis-cli --cluster create $redis_ports --cluster-replicas "$((${1} >= 6))" --cluster-yes \
		>"$tmp/cluster.log" 2>&1 || return 1
	redis_n=0
	for redis_port in $redis_ports; do
		until redis-cli -p "${redis_port#*:}" CLUSTER INFO | grep -q 'state:ok'; do
			redis_n=$((redis_n + 1))
			[ "$redis_n" -lt 500 ] || return 1
			sleep 0.02
		done
	done
	redis_port=${redis_ports%% 127*}
	redis_port=${redis_ports##*:}
}

redis_sentinels() {
	redis_sentinels=''
	for redis_i in 1 2 3; do
		redis_s=$(redis_free_port)
		mkdir -p "$tmp/s$redis_i"
		cat >"$tmp/s$redis_i/conf" <<-CONF
		port $redis_s
		sentinel monitor kv 127.0.0.1 $1 2
		sentinel down-after-milliseconds kv 800
		sentinel failover-timeout kv 4000
		CONF
		redis_run "s$redis_i" "$tmp/s$redis_i/conf" --sentinel || return 1
		redis_sentinels="$redis_sentinels,127.0.0.1:$redis_s"
	done
	redis_sentinels=${redis_sentinels#,}
}

redis_certs() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$tmp/ca.key" \
		-out "$tmp/ca.pem" 2>/dev/null || return 1
	for redis_i in server client; do
		openssl req -newkey rsa:2048 -nodes -subj "/CN=$redis_i" -keyout "$tmp/$redis_i.key" \
			-out "$tmp/$redis_i.csr" 2>/dev/null
		echo 'subjectAltName=IP:127.0.0.1,DNS:localhost' >"$tmp/ext"
		openssl x509 -req -in "$tmp/$redis_i.csr" -CA "$tmp/ca.pem" -CAkey "$tmp/ca.key" -days 2 \
			-CAcreateserial -extfile "$tmp/ext" -out "$tmp/$redis_i.pem" 2>/dev/null || return 1
	done
}
