#!/bin/bash
# Deleting: files in a directory against find and rm; objects against rclone, s3cmd and aws-cli,
# of a server in memory (s3mem.c: the client is the limit) and of a Ceph gateway, which is the limit
# itself with its OSD on the same cores and in memory, and waits for it if that is far away and on
# disks ("disks"); each with a bucket of its own that is filled again before each run.
#   FILES=1000000 OBJECTS=100000 RGW_OBJECTS=100000 RUNS=1 evict.sh		full size
#   PARTS='files memory gateway disks'	which of them
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/lib.sh"
server=$(cd "${0%/*}/../server" && pwd)
: "${FILES:=200000}" "${OBJECTS:=20000}" "${RGW_OBJECTS:=3000}" "${RUNS:=3}"
: "${PARTS:=files memory gateway disks}"
PATH=$PATH:/usr/sbin
trap '"$server/radosgw.sh" stop "$tmp/g"; rm -rf "$tmp"' EXIT

# Files named as LMCache's, 64 bytes each: the work is in names and inodes.
make_files() {
	rm -rf "$1"
	mkdir -p "$1"
	python3 - "$1" "$FILES" <<-'END'
	import os, sys
	top, n = sys.argv[1], int(sys.argv[2])
	fd = os.open(top, os.O_RDONLY)
	for i in range(n):
	    h = os.open(f'org-SEP-m@1@0@{i * 0x9e3779b97f4a7c15 % 2**63 | 2**63:016x}@bfloat16.data',
	                os.O_WRONLY | os.O_CREAT, dir_fd=fd)
	    os.write(h, bytes(64))
	    os.close(h)
	END
}

clear_files() {
	case $1 in
	kvevict) kvevict -q "$tmp/kvevict?dialect=lmcache" --all --yes --min-age 0 >/dev/null ;;
	find) find "$tmp/find" -type f -delete ;;
	rm) rm -rf "$tmp/rm" ;;
	esac
}

clear_objects() {
	case $1 in
	kvevict) kvevict -q s3://kvevict/kv --all --yes --min-age 0 --policy fifo >/dev/null ;;
	chains) kvevict -q s3://chains/kv --max-size 0 --max-delete 100% --min-age 0 --policy fifo >/dev/null ;;
	rclone) rclone --config /dev/null --s3-provider Other --s3-env-auth \
		--s3-endpoint "$AWS_ENDPOINT_URL" --checkers 16 --transfers 16 delete :s3:rclone/kv ;;
	s3cmd) s3cmd -q --host "${AWS_ENDPOINT_URL#http://}" --host-bucket "${AWS_ENDPOINT_URL#http://}" \
		--no-ssl --access_key "$AWS_ACCESS_KEY_ID" --secret_key "$AWS_SECRET_ACCESS_KEY" \
		del --recursive --force s3://s3cmd/kv >/dev/null ;;
	aws) /usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" s3 rm --quiet --recursive s3://aws/kv ;;
	esac
}

# Microseconds of processor time that the gateway and its OSD have had.
server_us() {
	[ -e "$tmp/g/run/osd.pid" ] || { echo 0; return; }
	awk '{ sum += $14 + $15 } END { print sum * 10000 }' \
		"/proc/$(cat "$tmp/g/run/osd.pid")/stat" "/proc/$(cat "$tmp/g/run/rgw.pid")/stat"
}

# CLIENTS of one kind, filled before each run
compare() {
	kind=$1
	shift
	for _ in $(seq "$RUNS"); do
		for c; do
			fill "$c"
			us=$(server_us)
			t=$(date +%s%N)
			"clear_$kind" "$c"
			echo $(($(date +%s%N) - t)) >>"$tmp/.$c"
			echo $(($(server_us) - us)) >>"$tmp/.$c.server"
		done
	done
	ours=$(median "$tmp/.kvevict")
	for c; do
		awk -v c="$c" -v t="$(median "$tmp/.$c")" -v o="$ours" -v n="$N" \
			-v s="$(median "$tmp/.$c.server")" 'BEGIN {
			printf "  %-8s %8.3f s %9.0f/s  %5.2f x", c, t / 1e9, n / t * 1e9, t / o
			printf (s > 0 ? "  server %.0f us each\n" : "\n"), s / n }'
		rm "$tmp/.$c" "$tmp/.$c.server"
	done
}

wanted() { case " $PARTS " in *" $1 "*) ;; *) return 1 ;; esac; }

if wanted files; then
	echo "$FILES files of one directory"
	N=$FILES
	fill() { make_files "$tmp/$1"; }
	compare files kvevict find rm
fi

export AWS_SHARED_CREDENTIALS_FILE=/nonexistent AWS_CONFIG_FILE=/nonexistent
unset AWS_CA_BUNDLE	# rclone 1.60 will not start with it
clients='kvevict chains'	# all at once; as a limit does it: headers read, leaves first
for c in rclone s3cmd aws; do command -v $c >/dev/null && clients="$clients $c"; done
make_stream() {	# prompts of 16 chunks
	for i in $(seq $(($1 / 16))); do
		kvget -q "gen:tiny?tokens=64&chunk-tokens=4&seed=$i"
	done >"$tmp/stream"
}
fill() { kvput -q --create-bucket "s3://$1/kv" "$tmp/stream"; }

if wanted memory; then
	mkfifo "$tmp/in"
	"${KVTOOLS_OUT:-${0%/*}/../../out}/bench/s3mem" <"$tmp/in" >"$tmp/port" &
	exec 9>"$tmp/in"
	until grep -q port "$tmp/port"; do sleep 0.05; done
	AWS_ENDPOINT_URL=http://127.0.0.1:$(cut -d' ' -f2 "$tmp/port")
	export AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=TESTKEY AWS_SECRET_ACCESS_KEY=testsecret AWS_EC2_METADATA_DISABLED=true
	echo "$OBJECTS objects of a server in memory"
	N=$OBJECTS
	make_stream "$OBJECTS"
	# shellcheck disable=SC2086	# words
	compare objects $clients
	exec 9>&-
fi

# DELAY WORDS
gateway() {
	RGW_SHARDS=11 RGW_DELAY=$1 "$server/radosgw.sh" start "$tmp/g" >"$tmp/env"
	# shellcheck disable=SC1091
	. "$tmp/env"
	echo "$RGW_OBJECTS objects of a Ceph gateway ($2)"
	N=$RGW_OBJECTS
	make_stream "$RGW_OBJECTS"
	# shellcheck disable=SC2086	# words
	compare objects $clients
	"$server/radosgw.sh" stop "$tmp/g"
}

wanted gateway || wanted disks || exit 0
command -v radosgw >/dev/null || { echo 'evict: radosgw not here'; exit 0; }
! wanted gateway || gateway '' 'one OSD in memory'
! wanted disks || gateway .01 'an OSD that takes 7.6 ms to write'
