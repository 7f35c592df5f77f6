#!/bin/bash
# S3 clients side by side: the same files up and down, on a sink that checks nothing (so the client
# is the limit) and on a Ceph gateway (which is the limit itself). Wall and CPU seconds of each
# client, medians of alternating runs; then listings and the first byte.
#   N8=200 N256=2000 ALL=1 s3.sh     full size, and s3cmd and aws-cli too
#   PARTS='sink gateway first list'  which of them; SETS='8m 256k' which files
#   JOBS=8                           for ours; else 4, and what they choose on the gateway
#   CLIENTS='kv curl' OPS='put get'  on the gateway: these alone (kv is what all are compared with)
#   OUT=DIR                          gets go there, to a disk; else to $TMPDIR
# shellcheck disable=SC2016,SC2317	# commands are for eval
set -eu
export TMPDIR="${TMPDIR:-/dev/shm}"	# a disk would be the limit
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/lib.sh"
out=${OUT:-$tmp}/out
server=${0%/*}/../server
jobs=${JOBS:-4}
: "${N8:=40}" "${N256:=600}" "${ALL:=}" "${RUNS:=5}" "${PARTS:=sink gateway first list}" "${SETS:=8m 256k}"
PATH=$PATH:/usr/sbin
for p in nginx radosgw rclone curl aws time; do
	command -v $p >/dev/null || { echo "s3: $p not here"; exit 0; }
done
export AWS_SHARED_CREDENTIALS_FILE=/nonexistent AWS_CONFIG_FILE=/nonexistent
unset AWS_CA_BUNDLE	# rclone 1.60 will not start with it
# curl has no signature at all: with its own, "curl-s", each put waits for 100-continue. So we
# leave out the payload's hash, as with TLS; "kv -s" is with it, as rclone has;
# "kv -c" reads parents before children, "kv-u" is unsigned altogether, "kv-d" is --direct.
export KVTOOLS_UNSIGNED_PAYLOAD=1
trap '"$server/s3sink.sh" stop "$tmp/sink"; "$server/radosgw.sh" stop "$tmp/rgw"; rm -rf "$tmp"' EXIT

kvget -q "gen:llama-3.1-8b?tokens=$((N8 * 64))&chunk-tokens=64" | kvput -q "$tmp/8m"
kvget -q "gen:tiny?tokens=$((N256 * 256))" | kvput -q "$tmp/256k"

# curl's jobs are listed beforehand; one process, eight transfers at once.
curl_jobs() {
	(cd "$tmp/$1" && find . -type f -name '*.safetensors' -printf '%P\n') >"$tmp/names"
	url=$AWS_ENDPOINT_URL/bucket/$1
	{ printf 'header = "Expect:"\n'; sed "s|.*|url = \"$url/&\"\nupload-file = \"$tmp/$1/&\"|" "$tmp/names"; } >"$tmp/put"
	sed "s|.*|url = \"$url/&\"\noutput = \"$out/&\"|" "$tmp/names" >"$tmp/get"
}

curl_s() {
	curl -s --create-dirs --parallel --parallel-max 8 --aws-sigv4 aws:amz:us-east-1:s3 \
		--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -H "x-amz-content-sha256: $1" "${@:2}"
}

rc="rclone --config /dev/null --s3-provider Other --s3-env-auth --s3-no-check-bucket --s3-no-head
	--s3-disable-checksum --ignore-checksum --no-traverse --no-check-dest --s3-upload-cutoff 64M
	--transfers 16 --checkers 16 --files-from-raw $tmp/names"
rclone_() { $rc --s3-endpoint "$AWS_ENDPOINT_URL" copy "$@"; }
printf '[default]\ns3 =\n  multipart_threshold = 64MB\n' >"$tmp/aws"
aws_() { AWS_CONFIG_FILE=$tmp/aws /usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" s3 cp --quiet --recursive "$@"; }
s3cmd_() {
	s3cmd -q --host "${AWS_ENDPOINT_URL#http://}" --host-bucket "${AWS_ENDPOINT_URL#http://}" --no-ssl \
		--access_key "$AWS_ACCESS_KEY_ID" --secret_key "$AWS_SECRET_ACCESS_KEY" "$@"
}

# CLIENT put|get SET
transfer() {
	case $1-$2 in
	kv-put) kvget -q -j "$jobs" --fill "s3://bucket/$3" "$tmp/$3" ;;
	kv-get) kvget -q -j "$jobs" --sort newest --fill "$out" "s3://bucket/$3" ;;
	kv-d-get) kvget -q --direct -j "$jobs" --sort newest --fill "$out" "s3://bucket/$3" ;;
	kv\ -c-get) kvget -q -j "$jobs" --sort chain --fill "$out" "s3://bucket/$3" ;;
	kv\ -s-put) KVTOOLS_UNSIGNED_PAYLOAD=0 kvget -q -j "$jobs" --fill "s3://bucket/$3" "$tmp/$3" ;;
	kv-u-*) KVTOOLS_NO_SIGN_REQUEST=1 transfer kv "$2" "$3" ;;
	curl1-*) curl -s --create-dirs -K "$tmp/$2" ;;
	curl-s-put) tail -n +2 "$tmp/put" | curl_s UNSIGNED-PAYLOAD -K - ;;
	curl-s-get) curl_s "$(sha256sum </dev/null | cut -c 1-64)" -K "$tmp/get" ;;
	curl-*) curl -s --create-dirs --parallel --parallel-max 8 -K "$tmp/$2" ;;
	rclone-put) rclone_ "$tmp/$3" ":s3:bucket/$3" ;;
	rclone-get) rclone_ ":s3:bucket/$3" "$out" ;;
	aws-put) aws_ "$tmp/$3" "s3://bucket/$3" ;;
	aws-get) aws_ "s3://bucket/$3" "$out" ;;
	s3cmd-put) s3cmd_ put --recursive "$tmp/$3/" "s3://bucket/$3/" ;;
	s3cmd-get) s3cmd_ get --recursive "s3://bucket/$3/" "$out/" ;;
	esac
}

# Removes what the last run made, runs, and notes "wall cpu" in FILE.
timed() {
	rm -rf "$out"
	mkdir "$out"
	if [ "$where-$3" = sink-put ]; then rm -rf "$tmp/sink/root/bucket/$4"; fi
	if [ "$where-$3" = gateway-put ]; then
		rclone_purge "$4"
	fi
	TIMEFORMAT='%R %U %S'
	{ time transfer "$2" "$3" "$4" >/dev/null 2>&1; } 2>"$tmp/.t" || echo "s3: $2 $3 $4: failed" >&2
	awk '{ print $1, $2 + $3 }' "$tmp/.t" >>"$1"
}
rclone_purge() { rclone --config /dev/null --s3-provider Other --s3-env-auth --s3-endpoint "$AWS_ENDPOINT_URL" purge ":s3:bucket/$1" 2>/dev/null || :; }

column() { awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# WHERE SET OP CLIENT...: a line for each, the ratio to ours
contest() {
	where=$1 contest_set=$2 contest_op=$3
	shift 3
	contest_bytes=$(du -sb --apparent-size "$tmp/$contest_set" | cut -f1)
	rm -f "$tmp"/result.*
	for ((i = 0; i < RUNS; i++)); do
		for c; do timed "$tmp/result.$c" "$c" "$contest_op" "$contest_set"; done
	done
	for c; do
		awk -v what="$where $contest_op $contest_set" -v c="$c" -v w="$(column "$tmp/result.$c" 1)" \
			-v cpu="$(column "$tmp/result.$c" 2)" -v w0="$(column "$tmp/result.kv" 1)" \
			-v cpu0="$(column "$tmp/result.kv" 2)" -v n="$contest_bytes" 'BEGIN {
			printf "%-18s %-7s %7.2f s %6.0f MB/s %7.2f s CPU   wall %.2f x, CPU %.2f x\n",
				what, c, w, n / w / 1e6, cpu, w / w0, cpu / (cpu0 > 0 ? cpu0 : 0.01) }'
	done
}

others=''
[ -z "$ALL" ] || others='aws s3cmd'
: "${OPS:=put get}" "${CLIENTS:=kv kv-u curl curl-s curl1 rclone $others}"
echo "s3: $N8 of 8 MiB, $N256 of 256 KiB; a ratio over 1 is in our favour"

sink() {
	"$server/s3sink.sh" start "$tmp/sink" bucket >"$tmp/env"
	# shellcheck disable=SC1091
	. "$tmp/env"
	for set in $SETS; do
		curl_jobs "$set"
		contest sink "$set" put kv 'kv -s' curl curl1 rclone ${others:+aws}
		transfer kv put "$set"
		"$server/s3sink.sh" list "$tmp/sink"
		contest sink "$set" get kv 'kv -c' kv-d curl curl1 rclone ${others:+aws}
		rm -rf "$tmp/sink/root/bucket/$set"
	done
	"$server/s3sink.sh" stop "$tmp/sink"
}

# Everybody may do everything here: curl goes unsigned.
gateway_up() {
	RGW_STORE=bluestore "$server/radosgw.sh" start "$tmp/rgw" >"$tmp/env"
	# shellcheck disable=SC1091
	. "$tmp/env"
	kvget -q gen:tiny?tokens=256 | kvput -q --create-bucket s3://bucket
	/usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" s3api put-bucket-policy --bucket bucket \
		--policy '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
		"Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}]}'
}

gateway() {
	jobs=${JOBS:-0}
	for set in $SETS; do
		curl_jobs "$set"
		[ "$OPS" != get ] || transfer kv put "$set"
		for op in $OPS; do
			# shellcheck disable=SC2086
			contest gateway "$set" "$op" $CLIENTS
		done
	done
}

# 4096 bytes on a warm connection: ours from call to return, curl's until its first byte.
first() {
	curl_jobs 256k
	name=$(head -n 1 "$tmp/names")
	kvput -q s3://bucket/256k "$tmp/256k/$name"
	for ((i = 0; i < 500; i++)); do
		printf 'url = "%s"\noutput = /dev/null\n' "$AWS_ENDPOINT_URL/bucket/256k/$name"
	done >"$tmp/first"
	for ((i = 0; i < RUNS; i++)); do
		"${KVTOOLS_OUT:-out}/bench/s3" s3://bucket/256k "$name" >>"$tmp/first.signed"
		KVTOOLS_NO_SIGN_REQUEST=1 "${KVTOOLS_OUT:-out}/bench/s3" s3://bucket/256k "$name" \
			>>"$tmp/first.kv"
		curl -s -r 0-4095 -w '%{time_starttransfer}\n' -K "$tmp/first" |
			awk '{ printf "%.0f\n", $1 * 1e6 }' | sort -n | sed -n 250p >>"$tmp/first.curl"
	done
	echo "first bytes, warm: kv $(column "$tmp/first.kv" 1) us (signed" \
		"$(column "$tmp/first.signed" 1)), curl $(column "$tmp/first.curl" 1) us"
}

# Names made up by a server of ours that is the limit: 16 requests at once, or one.
list() {
	hostile_at=$server
	# shellcheck source-path=SCRIPTDIR/../server
	. "$server/s3hostile.sh"
	hostile --open
	export AWS_ACCESS_KEY_ID=x
	export AWS_SECRET_ACCESS_KEY=y AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
	for ((i = 0; i < 100; i++)); do
		printf 'url = "%s/hundredk?list-type=2&prefix=m/&continuation-token=%d000"\noutput = /dev/null\n' "$AWS_ENDPOINT_URL" $i
	done >"$tmp/pages"
	for list_c in kv curl rclone aws s3cmd; do lists hundredk $list_c; done
	for list_c in kv rclone; do lists million $list_c; done
}

# BUCKET CLIENT: seconds and peak memory of a listing
lists() {
	local cmd
	case $2 in
	kv) cmd=(kvstat ls "s3://$1") ;;
	curl) cmd=(curl -s --parallel --parallel-max 8 -K "$tmp/pages") ;;
	rclone) cmd=(rclone --config /dev/null --s3-provider Other --s3-env-auth --s3-list-version 2
		--fast-list --s3-endpoint "$AWS_ENDPOINT_URL" lsf -R ":s3:$1/m") ;;
	aws) cmd=(/usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" s3 ls --recursive "s3://$1/m/") ;;
	s3cmd) cmd=(s3cmd --host "${AWS_ENDPOINT_URL#http://}" --host-bucket "${AWS_ENDPOINT_URL#http://}"
		--no-ssl --access_key x --secret_key y ls -r "s3://$1/m/") ;;
	esac
	/usr/bin/time -f '%e s, %U + %S s CPU, %M KiB' -o "$tmp/t" "${cmd[@]}" >"$tmp/ls" 2>"$tmp/err" ||
		echo "s3: list $2: failed" >&2
	printf 'list %-9s %-7s %s (%d lines)\n' "$1" "$2" "$(cat "$tmp/t")" "$(wc -l <"$tmp/ls")"
}

for part in $PARTS; do
	case $part in gateway | first) [ -d "$tmp/rgw" ] || gateway_up ;; esac
	$part
done
