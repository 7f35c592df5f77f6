# shellcheck shell=sh
# Receivers in the background, for tests that source lib.sh before. They are gone at the end.
# $recv_at: where they listen, $recv_in: a command that runs them (ip netns exec ...); $nobody runs
# one as another user.
# shellcheck disable=SC2034,SC2086,SC2154

recv_at=127.0.0.1:0
recv_in=''
pids=''
nobody="setpriv --reuid 65534 --clear-groups env XDG_CONFIG_HOME=/nowhere XDG_STATE_HOME=/nowhere"
at_exit='for p in $pids; do kill "$p" 2>/dev/null; done'

# await FILE: until there is something in it
await() {
	await_n=0
	while [ ! -s "$1" ]; do
		sleep 0.02
		await_n=$((await_n + 1))
		[ $await_n -lt 500 ] || return 1
	done
}

# recv OPTIONS...: $addr is where it listens, $pid what it is, $tmp/out and $tmp/${err:-err} what it says
recv() {
	rm -f "$tmp/ready"
	$recv_in kvrecv --listen "$recv_at" --ready-file "$tmp/ready" "$@" >"$tmp/out" 2>"$tmp/${err:-err}" &
	pid=$!
	pids="$pids $pid"
	await "$tmp/ready"
	addr=$(cat "$tmp/ready")
}

# bad ACTION...: a proxy before $addr; $addr is then the proxy's.
bad() {
	rm -f "$tmp/port"
	"$here/server/badproxy.py" "$tmp/port" "${addr#tcp://}" "$@" &
	pids="$pids $!"
	await "$tmp/port"
	addr=tcp://$(cat "$tmp/port")
}

ended() { wait "$pid"; }
same() { diff -r "$1" "$2" >/dev/null; }
