#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check-units.sh SYSTEMD-ANALYZE SERVICE UNIT…
#
# The units are understood without a warning, and moored.service and the resolvers' are not exposed more than they were:
# see the exceptions stated in them.

set -eu

threshold=44 # of 100
resolver_threshold=18
analyze=$1
service=$2
shift 2

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# ExecStart= and manual pages need not be installed for this.
sed -e 's|^ExecStart=.*|ExecStart=/bin/true|' -e '/^Documentation=/d' "$service" > "$dir/moored.service"
for unit; do
        # As an instance, the one that a socket with Accept=yes is checked with, and a socket with what its owner has to say.
        name=$(basename "$unit" | sed 's/@/@internal/')
        sed -e 's|^\(Exec[A-Za-z]*\)=.*|\1=/bin/true|' -e '/^Documentation=/d' \
                -e 's|^\[Socket\]|&\nListenStream=/run/check|' "$unit" > "$dir/$name"
done

"$analyze" verify --man=no --recursive-errors=no "$dir"/*.* \
        2> "$dir/warnings" || {
        cat "$dir/warnings" >&2
        exit 1
}
if grep "$dir" "$dir/warnings" >&2; then
        exit 1
fi

"$analyze" security --offline=true --threshold="$threshold" --no-pager "$dir/moored.service" \
        > "$dir/report" || {
        cat "$dir/report" >&2
        exit 1
}
tail -n 1 "$dir/report"

"$analyze" security --offline=true --threshold="$resolver_threshold" --no-pager "$dir/moored-dns@internal.service" \
        > "$dir/report" || {
        cat "$dir/report" >&2
        exit 1
}
tail -n 1 "$dir/report"
