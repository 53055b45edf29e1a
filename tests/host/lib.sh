# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the two test hosts share: the cache of root file systems, test images and product builds.
#
# Everything that takes long is built once, into a directory named after a hash of all that it was made
# from, and never changed afterwards: hosts use it as the lower directory of an overlay. A directory is
# built under a temporary name and renamed when it is complete, so an interrupted build is not mistaken
# for a finished one. Mounts are made in private mount namespaces only, so that none outlives its maker.

host_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_root=$(cd "$host_dir/../.." && pwd)

MOORED_CACHE=${MOORED_CACHE:-/var/cache/moored-test}
MOORED_HOST_STATE=${MOORED_HOST_STATE:-/run/moored-test}

# Debian 13's mount(8) would pass each option by fsconfig(2), which takes 256 bytes: a list of lower directories is
# soon longer. mount(2) takes a page.
export LIBMOUNT_FORCE_MOUNT2=always

# What a host is: systemd and the bus, the makers of images, and the container engines that moored is
# measured against.
host_packages=(
        systemd systemd-sysv systemd-container dbus polkitd libpam-systemd
        bash-completion bsdextrautils iproute2 nftables dnsmasq-base systemd-resolved libnss-mymachines procps psmisc curl ca-certificates openssl strace kmod acl attr
        e2fsprogs less python3 pigz zstd busybox-static
        docker-registry skopeo umoci crun runc podman containerd containernetworking-plugins
        uidmap dbus-user-session
)

# The product's own shared libraries. Their packages' names change with the ABI of time_t.
host_libraries_bookworm=(
        libarchive13 libcurl4 libjansson4 libseccomp2 libsqlite3-0 libisal2 libzstd1 libcap2 libssl3 libacl1
        libnl-3-200 libnftables1
)
host_libraries_trixie=(
        libarchive13t64 libcurl4t64 libjansson4 libseccomp2 libsqlite3-0 libisal2 libzstd1 libcap2 libssl3t64 libacl1
        libnl-3-200 libnftables1
)

# What a root needs on top of that to build the product against its own release's libraries.
build_packages=(
        gcc libc6-dev meson ninja-build pkg-config libsystemd-dev libarchive-dev libcurl4-openssl-dev
        libjansson-dev libssl-dev libseccomp-dev libsqlite3-dev libisal-dev libzstd-dev libcap-dev
        libacl1-dev libnl-3-dev libnftables-dev libcmocka-dev python3-docutils libxml2-utils dbus bash-completion
)

# Units that only cost time in a test host, or that would act on the machine below host A, which
# shares the kernel: its sysctls, modules and devices are none of the host's business.
masked_units=(
        apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
        fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer motd-news.timer
        podman.service podman.socket podman-auto-update.timer podman-auto-update.service podman-restart.service
        podman-clean-transient.service containerd.service
        console-getty.service container-getty@.service getty.target getty@tty1.service serial-getty@ttyS0.service
        systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service
        systemd-resolved.service systemd-timesyncd.service systemd-hwdb-update.service systemd-firstboot.service
        ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service
        systemd-random-seed.service systemd-update-utmp.service systemd-update-utmp-runlevel.service
        systemd-sysctl.service systemd-modules-load.service kmod-static-nodes.service systemd-pstore.service
        systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket
        systemd-udev-trigger.service systemd-udev-settle.service systemd-udev-load-credentials.service
        systemd-binfmt.service proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount
        sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
        dev-hugepages.mount dev-mqueue.mount modprobe@.service nftables.service
)

say() {
        echo "$*" >&2
}

die() {
        say "${0##*/}: $*"
        exit 1
}

need_root() {
        [[ $(id -u) == 0 ]] || die "must be run as root"
}

check_suite() {
        case $1 in
                bookworm | trixie) ;;
                *) die "suite '$1' is not supported: bookworm or trixie" ;;
        esac
}

check_name() {
        [[ $1 =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]] || die "'$1' is no host name: lower-case letters, digits and '-'"
}

hash_of() {
        printf '%s\n' "$@" | sha256sum | cut -c1-12
}

minbase_path() {
        echo "$MOORED_CACHE/minbase-$1-$(hash_of "$(declare -f minbase_build)" "${MOORED_MIRROR:-}")"
}

root_path() {
        local -n libraries=host_libraries_$1

        echo "$MOORED_CACHE/root-$1-$(hash_of "$(declare -f root_build root_install)" "$(minbase_path "$1")" \
                "${host_packages[@]}" "${libraries[@]}" "${masked_units[@]}")"
}

devroot_path() {
        echo "$MOORED_CACHE/devroot-$1-$(hash_of "$(root_path "$1")" "${build_packages[@]}")"
}

images_path() {
        echo "$MOORED_CACHE/images-$(hash_of "$(cat "$host_dir/make-images" "$host_dir/images.sh")")"
}

# cache_build PATH FUNCTION [ARGUMENT…]: calls FUNCTION ARGUMENT… TEMPORARY to fill an empty directory, unless
# PATH is there already; one builder at a time.
cache_build() {
        local path=$1 build=$2 tmp rc
        shift 2

        [[ -e $path ]] && return 0
        need_root
        mkdir -p "$MOORED_CACHE"
        (
                flock 9
                [[ -e $path ]] && exit 0
                # Whoever left such a directory is gone: it would hold the lock.
                rm -rf "$path".tmp.*
                tmp=$path.tmp.$$
                mkdir "$tmp"
                say "building ${path##*/} in $MOORED_CACHE (once)"
                SECONDS=0
                # Not "if ! …": bash would ignore "set -e" everywhere inside the builder then.
                set +e
                (
                        set -e
                        "$build" "$@" "$tmp"
                ) >"$path.log" 2>&1 9>&-
                rc=$?
                set -e
                if ((rc != 0)); then
                        tail -n 30 "$path.log" >&2
                        rm -rf "$tmp"
                        die "building ${path##*/} failed; the whole log is $path.log"
                fi
                mv "$tmp" "$path"
                say "built ${path##*/} in $SECONDS s"
        ) 9>"$path.lock"
}

# disk_mount DIRECTORY SIZE: in a private mount namespace, mounts an empty ext4 that exists as long as it is mounted.
disk_mount() {
        local directory=$1 size=$2 image

        mkdir -p "$directory" "$MOORED_CACHE"
        image=$(mktemp "$MOORED_CACHE/disk.XXXXXXXX")
        truncate -s "$size" "$image"
        mkfs.ext4 -q -E lazy_itable_init=1,nodiscard "$image"
        # Without noinit_itable the kernel would write the inode tables in the background of every test.
        mount -o loop,noinit_itable "$image" "$directory"
        # The mount and the loop device hold the file: nothing is left to be removed afterwards.
        rm -f "$image"
}

# in_root ROOT COMMAND…: runs COMMAND in ROOT as a package manager expects it, in a mount and pid namespace of its
# own: whatever it mounts or leaves running goes with it.
in_root() {
        local root=$1
        shift

        # The single quotes are meant: the inner shell expands.
        # shellcheck disable=SC2016
        unshare --mount --pid --fork --kill-child --propagation private -- bash -c '
                set -e
                root=$1
                shift
                mount --rbind "$root" "$root"
                mount -t proc proc "$root/proc"
                mount --rbind /dev "$root/dev"
                mount -t tmpfs tmpfs "$root/run"
                cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
                exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root \
                        DEBIAN_FRONTEND=noninteractive \
                        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
                        ${NINJA_STATUS:+NINJA_STATUS="$NINJA_STATUS"} \
                        chroot "$root" "$@"
        ' in_root "$root" "$@"
}

minbase_build() {
        local suite=$1 root=$2

        unshare --mount --propagation private -- \
                debootstrap --variant=minbase "$suite" "$root" ${MOORED_MIRROR:+"$MOORED_MIRROR"}
        rm -rf "$root"/var/cache/apt/archives/*.deb
}

root_install() {
        local root=$1
        shift

        # No service is to start in a chroot, and neither time nor disk is to be spent on what tests never read.
        printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
        chmod 0755 "$root/usr/sbin/policy-rc.d"
        echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/test-host"
        printf 'path-exclude=%s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/info/*' \
                >>"$root/etc/dpkg/dpkg.cfg.d/test-host"
        in_root "$root" apt-get -q update
        in_root "$root" apt-get -q install -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d"
}

root_build() {
        local suite=$1 root=$2 unit
        local -n libraries=host_libraries_$suite

        cp -a "$(minbase_path "$suite")/." "$root"
        root_install "$root" "${host_packages[@]}" "${libraries[@]}"

        for unit in "${masked_units[@]}"; do
                ln -sf /dev/null "$root/etc/systemd/system/$unit"
        done
        ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
        # A root of its own would get this at first boot, from ConditionFirstBoot= units that slow it down.
        echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
        printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
        # systemd-resolved, which is started by tests only, would have it be a link.
        rm -f "$root/etc/resolv.conf"
        : >"$root/etc/resolv.conf"
        rm -f "$root/etc/fstab" "$root/etc/hostname" "$root/var/lib/dbus/machine-id"
        rm -rf "$root/var/log/journal"
        mkdir -p "$root/src" "$root/root"
        printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nRuntimeMaxUse=256M\nForwardToConsole=no\n' \
                | install -D -m 0644 /dev/stdin "$root/etc/systemd/journald.conf.d/test-host.conf"
        printf '[Manager]\nDefaultTimeoutStartSec=30s\nDefaultTimeoutStopSec=20s\nShowStatus=no\n' \
                | install -D -m 0644 /dev/stdin "$root/etc/systemd/system.conf.d/test-host.conf"
        # The registry is started when it is wanted, by root since its storage comes from the cache of another
        # root; it listens on loopback and allows deleting.
        in_root "$root" systemctl disable docker-registry.service
        printf '[Service]\nUser=root\n' \
                | install -D -m 0644 /dev/stdin "$root/etc/systemd/system/docker-registry.service.d/test-host.conf"
        cat >"$root/etc/docker/registry/config.yml" <<-'YAML'
		version: 0.1
		log:
		  level: warn
		storage:
		  filesystem:
		    rootdirectory: /var/lib/docker-registry
		  delete:
		    enabled: true
		  cache:
		    blobdescriptor: inmemory
		http:
		  addr: 127.0.0.1:5000
		YAML
        install -d -m 0755 "$root/etc/containers/registries.conf.d"
        printf '[[registry]]\nlocation = "127.0.0.1:5000"\ninsecure = true\n' \
                >"$root/etc/containers/registries.conf.d/test-host.conf"
        # Host A has an overlay as its root: podman keeps its layers on the disk that moored has as well.
        install -d -m 0755 "$root/var/lib/moored" "$root/var/lib/containers" "$root/var/lib/containerd" \
                "$root/var/lib/docker-registry"
        ldconfig -r "$root"
}

devroot_build() {
        local suite=$1 root=$2

        cp -a "$(root_path "$suite")/." "$root"
        root_install "$root" "${build_packages[@]}"
}

# ensure_root SUITE: builds what is missing; afterwards root_path SUITE exists.
ensure_root() {
        check_suite "$1"
        [[ -e $(root_path "$1") ]] && return 0
        "$source_root/tools/setup" --host-a
        cache_build "$(minbase_path "$1")" minbase_build "$1"
        cache_build "$(root_path "$1")" root_build "$1"
}

ensure_devroot() {
        ensure_root "$1"
        cache_build "$(devroot_path "$1")" devroot_build "$1"
}
