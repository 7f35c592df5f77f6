# shellcheck shell=sh
# Source it. hostile [OPTION ...]: s3hostile.py (beside this, or in $hostile_at) with these options,
# until we end or call this again; AWS_ENDPOINT_URL points to it. $tmp is a scratch directory.

# shellcheck disable=SC2154	# the test's own
: "${hostile_at:=$here/server}"

hostile() {
	rm -f "$tmp/hostile.in" "$tmp/hostile.out"
	mkfifo "$tmp/hostile.in" "$tmp/hostile.out"
	/usr/bin/python3 "$hostile_at/s3hostile.py" "$@" <"$tmp/hostile.in" >"$tmp/hostile.out" &
	exec 9>"$tmp/hostile.in"
	read -r _ hostile_port <"$tmp/hostile.out" || { echo 's3hostile.py does not start' >&2; exit 1; }
	case " $* " in
	*' --tls '*) AWS_ENDPOINT_URL=https://127.0.0.1:$hostile_port ;;
	*) AWS_ENDPOINT_URL=http://127.0.0.1:$hostile_port ;;
	esac
	export AWS_ENDPOINT_URL
}
