# shellcheck shell=sh disable=SC2034,SC2154,SC2317  # to be read by what runs in the guest: TAP
# The tools between the devices $nic_a and $nic_b: kvsend and kvrecv.
. "${0%/*}/../lib.sh"
: "${KVTOOLS_OUT:?}"

need kvget kvsend kvrecv setpriv
cd "$tmp" || exit 1
port=7000
limits=''
nic_a=$RDMA_DEV_A nic_b=$RDMA_DEV_B

# A receiver at $port, as process $receiver; what comes out is in recv.
receive() {
	port=$((port + 1))
	rm -f ready
	$limits kvrecv --listen "127.0.0.1:$port" --nic "$nic_b" --timeout 15s \
		--ready-file "$tmp/ready" "$@" >recv 2>recv.err &
	receiver=$!
	until [ -s ready ]; do
		kill -0 "$receiver" 2>/dev/null || return 1
		sleep 0.05
	done
}

send() {
	timeout 100 kvsend --nic "$nic_a" --timeout 15s "$@" "127.0.0.1:$port" "$file" \
		>sent 2>&1 && return
	send_rc=$?
	cat sent recv.err
	return $send_rc
}

# The receiver's exit status, after it.
received() {
	wait "$receiver"
}

stored() {
	find "$1" -name '*.safetensors' 2>/dev/null | wc -l
}

# Send slowly in the background, as process $sender, until some chunks are there.
send_slowly() {
	store=$1
	shift
	send --bwlimit 1MB/s "$@" &
	sender=$!
	until [ "$(stored "$store")" -ge 30 ]; do
		kill -0 "$sender" 2>/dev/null || return 1
		sleep 0.05
	done
}

# $1 is the stream in $2.
holds() {
	kvget -q "$1" | cmp - "$2"
}

# What device $1 has sent.
bytes() {
	cat "/sys/class/net/$1/statistics/tx_bytes"
}
