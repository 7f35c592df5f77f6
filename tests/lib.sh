# shellcheck shell=sh
# TAP for our tools' tests. Source it: . "${0%/*}/lib.sh"
#   ok 'what' command...        passes when the command succeeds
#   ok 'what' status N command  passes when it exits with N
#   is 'what' GOT WANTED        compares two texts
#   need PROGRAM...             skips the whole file when one is missing
#   finish                      last line of every test
# $tmp is a scratch directory, $here is tests/, $golden is tests/golden.

here=$(cd "${0%/*}" && pwd)
# shellcheck disable=SC2034	# for those who source this
golden=$here/golden
export KVTOOLS_OUT="${KVTOOLS_OUT:-${here%/*}/out}"
PATH=$KVTOOLS_OUT:$PATH
tmp=$(mktemp -d "${TMPDIR:-/tmp}/kvtools.XXXXXX")
export XDG_CONFIG_HOME="$tmp/xdg" XDG_STATE_HOME="$tmp/xdg" XDG_CACHE_HOME="$tmp/xdg" LC_ALL=C
mkdir -m 700 "$tmp/.run"
export XDG_RUNTIME_DIR="$tmp/.run"
tap_n=0
tap_bad=0
at_exit=''
# shellcheck disable=SC2154	# rc is set where the trap runs
trap 'rc=$?; eval "$at_exit"; chmod -R u+w "$tmp" 2>/dev/null; rm -rf "$tmp"; exit $rc' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

need() {
	for tap_p; do
		command -v "$tap_p" >/dev/null 2>&1 || { echo "1..0 # SKIP $tap_p not here"; exit 0; }
	done
}

tap_result() {
	tap_n=$((tap_n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_n - $2"
	else
		tap_bad=$((tap_bad + 1))
		echo "not ok $tap_n - $2"
	fi
}

ok() {
	tap_what=$1
	shift
	tap_rc=0
	"$@" >"$tmp/.tap" 2>&1 || tap_rc=$?
	tap_result "$tap_rc" "$tap_what"
	[ "$tap_rc" -eq 0 ] || { echo "# $* -> $tap_rc"; head -n 20 "$tmp/.tap" | sed 's/^/# /'; }
}

# Success when the command exits with $1; a sanitizer's 99 is never that.
status() {
	tap_want=$1
	shift
	tap_got=0
	"$@" || tap_got=$?
	[ "$tap_got" -eq "$tap_want" ] || { echo "exit status $tap_got, not $tap_want"; return 1; }
}

is() {
	if [ "$2" = "$3" ]; then
		tap_result 0 "$1"
	else
		tap_result 1 "$1"
		printf 'got:\n%s\nwanted:\n%s\n' "$2" "$3" | head -n 30 | sed 's/^/# /'
	fi
}

skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - # SKIP $*"; }

finish() {
	echo "1..$tap_n"
	exit "$tap_bad"
}
