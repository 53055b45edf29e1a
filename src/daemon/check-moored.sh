#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check-moored.sh MOORED
#
# The daemon can read no archive and speak to no registry even by mistake: the libraries for that are not in it. What it loads by itself is noted
# for packagers. And its options work.

set -eu

moored=$1
failed=0

fail() {
        echo "FAILED: $*" >&2
        failed=1
}

needed=$(readelf -d "$moored" | grep NEEDED)
for library in libarchive libcurl libisal libnftables libzstd libz; do
        case $needed in
        *"[$library."*) fail "moored links $library" ;;
        esac
done
case $needed in
*'[libsystemd.'*) ;;
*) fail "readelf says nothing about libsystemd: $needed" ;;
esac

readelf -p .note.dlopen "$moored" | grep -q '"soname":\["libnftables\.so\.[0-9]*"\]' || fail "there is no note that moored loads libnftables"

"$moored" --help | grep -q -- '--bus-introspect=' || fail "--help does not name --bus-introspect="
"$moored" --version | grep -q '^moored [0-9]' || fail "--version prints no version"
! "$moored" --nonsense 2>/dev/null || fail "an unknown option is no error"
! "$moored" argument 2>/dev/null || fail "an argument is no error"

exit "$failed"
