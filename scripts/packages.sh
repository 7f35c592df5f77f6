# shellcheck shell=sh
# Debian packages by purpose: the one list that demo.sh, check.sh, CI and INSTALL go by.
#   . scripts/packages.sh; packages_install build test
#   sh scripts/packages.sh [build test fuzz bench]	prints the lists

packages_of() {
	case $1 in
	build) echo gcc libc6-dev make pkg-config libcurl4-openssl-dev libssl-dev libzstd-dev \
		libjansson-dev libxxhash-dev libsqlite3-dev libyaml-dev uthash-dev \
		libibverbs-dev librdmacm-dev ;;
	test) echo libcmocka-dev perl util-linux bsdextrautils time git curl openssl zstd xxhash \
		python3 python3-numpy python3-redis mandoc shellcheck zsh fish faketime valgrind \
		redis-server redis-tools ceph-mon ceph-osd radosgw ceph-common rclone s3cmd awscli \
		nginx-light iproute2 rdma-core ibverbs-providers qemu-system-x86 busybox-static \
		cpio kmod xz-utils strace ;;
	fuzz) echo clang libclang-rt-14-dev ;;
	bench) echo zstd xxhash time python3 socat perftest iperf3 gnuplot-nox b3sum libhiredis-dev \
		redis-server redis-tools ;;
	esac
}

# Those of the named lists that are not installed.
packages_missing() {
	for packages_list; do
		for packages_p in $(packages_of "$packages_list"); do
			case $(dpkg-query -W -f '${db:Status-Status}' "$packages_p" 2>/dev/null) in
			installed) ;;
			*) echo "$packages_p" ;;
			esac
		done
	done | sort -u | tr '\n' ' '
}

# Those of the named packages that can be installed here; of the others a word.
packages_there() {
	for packages_p; do
		case $(LC_ALL=C apt-cache policy "$packages_p" 2>/dev/null) in
		*'Candidate: (none)'* | '') echo "packages: no $packages_p here" >&2 ;;
		*) echo "$packages_p" ;;
		esac
	done
}

# Install what is missing, and say what. Succeeds at once, without a network, if nothing is. What
# is to be had is installed, and the rest a failure.
packages_install() {
	command -v dpkg-query >/dev/null || {
		echo 'packages: this is no Debian; INSTALL names what is needed' >&2
		return 0
	}
	packages_absent=$(packages_missing "$@")
	[ -n "$packages_absent" ] || { echo 'packages: nothing to install'; return 0; }
	echo "packages: installing $packages_absent"
	packages_sudo=''
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo 'packages: neither root nor sudo; install them and come back' >&2
			return 1
		}
		packages_sudo=sudo
	fi
	packages_apt="$packages_sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq
		-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0"
	$packages_apt update </dev/null || echo 'packages: apt-get update failed; going on' >&2
	# shellcheck disable=SC2046,SC2086	# lists of words
	$packages_apt install -y --no-install-recommends $(packages_there $packages_absent) </dev/null >/dev/null &&
		[ -z "$(packages_missing "$@")" ]
}

case ${0##*/} in
packages.sh)
	[ $# -gt 0 ] || set -- build test fuzz bench
	for packages_list; do
		echo "$packages_list: $(packages_of "$packages_list")"
	done ;;
esac
