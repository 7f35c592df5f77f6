#!/bin/sh
# Install what the tests need, build without a warning, run them all. Can be run again and again.
#   PROVE_FLAGS=-v sh scripts/check.sh     shows every single test
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

packages_install build || exit 1
packages_install test || echo 'check: without those packages some tests will be skipped' >&2
jobs=$(nproc)
make -s -j"$jobs" WERROR=-Werror all tests
make -s WERROR=-Werror check
