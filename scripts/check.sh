#!/bin/sh
# Install what the tests need, build, run them all. Can be run again and again.
#   PROVE_FLAGS=-v sh scripts/check.sh     shows every single test
#   CI=true sh scripts/check.sh            takes no warning of the compiler's
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

packages_install build || exit 1
packages_install test || echo 'check: without those packages some tests will be skipped' >&2
jobs=$(nproc)
werror=${CI:+-Werror}	# compilers to come have warnings that we have not seen
make -s -j"$jobs" WERROR="$werror" all tests
make -s WERROR="$werror" check
