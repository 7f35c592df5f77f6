# shellcheck shell=sh
# Debian packages by purpose: the one list that demo.sh, check.sh, CI and INSTALL go by.
#   . scripts/packages.sh; packages_install build test
# or as a command: sh scripts/packages.sh [build test fuzz bench ...]   prints the lists

packages_build='gcc libc6-dev make pkg-config libcurl4-openssl-dev libssl-dev libzstd-dev
	libjansson-dev libxxhash-dev libsqlite3-dev libyaml-dev libinih-dev uthash-dev
	libibverbs-dev librdmacm-dev'
packages_test='libcmocka-dev perl util-linux time git python3 python3-numpy mandoc shellcheck
	redis-server redis-tools python3-redis openssl ceph-mon ceph-osd radosgw ceph-common
	rclone s3cmd awscli nginx-light iproute2 faketime zstd xxhash valgrind
	qemu-system-x86 busybox-static cpio kmod ibverbs-providers rdma-core'
packages_fuzz='clang libclang-rt-14-dev'
packages_bench='zstd xxhash time'

# Those of the named lists that are not installed.
packages_missing() {
	for packages_list; do
		eval "packages_names=\$packages_$packages_list"
		for packages_p in $packages_names; do
			case $(dpkg-query -W -f '${db:Status-Status}' "$packages_p" 2>/dev/null) in
			installed) ;;
			*) echo "$packages_p" ;;
			esac
		done
	done | sort -u | tr '\n' ' '
}

# Install what is missing, and say what. Succeeds at once, without a network, if nothing is.
packages_install() {
	command -v dpkg-query >/dev/null || {
		echo "packages: this is no Debian; INSTALL names what is needed" >&2
		return 0
	}
	packages_todo=$(packages_missing "$@")
	[ -n "$packages_todo" ] || { echo "packages: nothing to install"; return 0; }
	echo "packages: installing $packages_todo"
	packages_sudo=''
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo "packages: neither root nor sudo; install them and come back" >&2
			return 1
		}
		packages_sudo=sudo
	fi
	packages_apt="$packages_sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq
		-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0"
	$packages_apt update </dev/null || echo 'packages: apt-get update failed; trying all the same' >&2
	# shellcheck disable=SC2086	# lists of words
	$packages_apt install -y --no-install-recommends $packages_todo </dev/null >/dev/null
}

case ${0##*/} in
packages.sh)
	[ $# -gt 0 ] || set -- build test fuzz bench
	for list; do
		eval "echo $list: \$packages_$list"
	done ;;
esac
