# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The test images, built once: OCI layouts below oci/, and the storage of a docker-registry that holds
# them below registry/, so that a host has a filled registry without pushing half a gigabyte first.
# Whatever the host's suite is, the images are made of bookworm.

# What each layer of debian:test adds to the one below; the last two remove and change files.
debian_layers=(
        'apt-get -q update && apt-get -q install -y --no-install-recommends python3 iputils-ping'
        'apt-get -q install -y --no-install-recommends perl git curl ca-certificates'
        'apt-get -q install -y --no-install-recommends sqlite3 vim gdb'
        'rm -rf /usr/share/doc /usr/share/man/* /var/lib/apt/lists && mkdir -m 0755 /usr/share/doc && mkdir -p /var/lib/apt/lists/partial'
        'echo "Debian test image" >/etc/motd && sed -i s/^#// /root/.bashrc && useradd -m -u 1234 tester'
)

# What nginx:test adds to debian:test's first layer.
nginx_layer='apt-get -q update && apt-get -q install -y --no-install-recommends nginx-light && rm -rf /var/lib/apt/lists/*'

# images_step WORK NAME LOWER COMMAND: WORK/layer-NAME becomes what a command adds to the layers of LOWER.
images_step() {
        local work=$1

        mkdir -p "$work/layer-$2" "$work/work-$2"
        mount -t overlay overlay "$work/root" -o "lowerdir=$3,upperdir=$work/layer-$2,workdir=$work/work-$2"
        in_root "$work/root" sh -ec "$4"
        in_root "$work/root" sh -ec 'apt-get clean; : >/etc/resolv.conf; rm -f /var/log/apt/* /var/log/*.log'
        umount "$work/root"
}

# images_layers WORK: fills WORK/layer-<n>, each the upper directory of an overlay above those before it, and
# WORK/layer-nginx above WORK/layer-0.
images_layers() {
        local work=$1 lower i=0 step

        mkdir -p "$work/layer-0" "$work/root"
        cp -a "$(minbase_path bookworm)/." "$work/layer-0"
        rm -rf "$work"/layer-0/var/lib/apt/lists/* "$work"/layer-0/var/cache/apt/* "$work"/layer-0/var/log/*
        find "$work/layer-0/dev" -mindepth 1 -delete
        : >"$work/layer-0/etc/resolv.conf"
        echo debian >"$work/layer-0/etc/hostname"
        lower=$work/layer-0
        for step in "${debian_layers[@]}"; do
                i=$((i + 1))
                images_step "$work" "$i" "$lower" "$step"
                lower=$work/layer-$i:$lower
        done
        images_step "$work" nginx "$work/layer-0" "$nginx_layer"
}

# images_registry OUTPUT WORK: pushes the layouts below OUTPUT/oci into a registry whose storage is OUTPUT/registry.
images_registry() {
        local output=$1 work=$2

        mkdir -p "$output/registry" "$work/upper" "$work/work" "$work/root"
        mount -t overlay overlay "$work/root" \
                -o "lowerdir=$(root_path bookworm),upperdir=$work/upper,workdir=$work/work"
        mkdir -p "$work/root/var/lib/docker-registry" "$work/root/mnt/oci"
        mount --bind "$output/registry" "$work/root/var/lib/docker-registry"
        mount --bind "$output/oci" "$work/root/mnt/oci"
        cp "$host_dir/registry" "$work/root/mnt/registry"
        in_root "$work/root" unshare --net sh -ec '
                ip link set lo up
                docker-registry serve /etc/docker/registry/config.yml &
                pid=$!
                for i in $(seq 50); do curl -s -o /dev/null http://127.0.0.1:5000/v2/ && break; sleep 0.1; done
                sh /mnt/registry push /mnt/oci
                kill $pid
                wait $pid || :
        '
        umount -R "$work/root"
}

images_make() {
        local output=$1 work=$1/work

        mkdir -p "$output/oci"
        # The cache may be on an overlay, as a container's root is, which takes neither upper directories nor whiteouts.
        disk_mount "$work" 16G
        mkdir "$work/layers" "$work/registry"
        images_layers "$work/layers"
        "$host_dir/make-images" "$output/oci" "$(root_path bookworm)/bin/busybox" "$work"/layers/layer-?
        images_registry "$output" "$work/registry"
        umount "$work"
        rmdir "$work"
}

images_build() {
        unshare --mount --propagation private -- "$host_dir/host-a" _images "$1"
}

ensure_images() {
        [[ -e $(images_path) ]] && return 0
        ensure_root bookworm
        cache_build "$(images_path)" images_build
}
