# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds the product for a suite: on the machine itself where it runs that suite, else in a root of that suite
# that has the compiler and the libraries' headers, so that the result links what the host will have.

machine_suite() {
        (
                . /etc/os-release
                echo "${VERSION_CODENAME:-}"
        )
}

# product_compile SOURCE BUILD DESTDIR MESON-OPTION…
product_compile() {
        local source=$1 build=$2 destdir=$3
        shift 3

        # A build directory of another compiler or of a broken set-up is of no use: begin again then.
        if [[ -e $build/build.ninja ]]; then
                meson setup --reconfigure "$build" "$source" "$@" >"$build.setup.log" 2>&1 || rm -rf "$build"
        fi
        if [[ ! -e $build/build.ninja ]]; then
                rm -rf "$build"
                meson setup "$build" "$source" "$@" >"$build.setup.log" 2>&1 || {
                        tail -n 20 "$build.setup.log" >&2
                        return 1
                }
        fi
        ninja -C "$build" || return 1
        find "$destdir" -mindepth 1 -delete
        DESTDIR=$destdir meson install -C "$build" --no-rebuild --quiet
}

# Inside a private mount namespace: the same, in an overlay above the suite's build root.
product_compile_in_root() {
        local suite=$1 source=$2 build=$3 destdir=$4 work status=0
        shift 4

        work=$(mktemp -d "$MOORED_CACHE/compile.XXXXXXXX")
        mount -t tmpfs tmpfs "$work"
        mkdir "$work/upper" "$work/work" "$work/root"
        mount -t overlay overlay "$work/root" \
                -o "lowerdir=$(devroot_path "$suite"),upperdir=$work/upper,workdir=$work/work"
        mkdir -p "$work/root/mnt/source" "$work/root/mnt/build" "$work/root/mnt/destdir" "$work/root/mnt/lib"
        mount --bind "$source" "$work/root/mnt/source"
        mount -o remount,bind,ro "$work/root/mnt/source"
        mount --bind "$build" "$work/root/mnt/build"
        mount --bind "$destdir" "$work/root/mnt/destdir"
        mount --bind "$host_dir" "$work/root/mnt/lib"
        in_root "$work/root" bash -c '
                set -e
                . /mnt/lib/product.sh
                product_compile /mnt/source /mnt/build/out /mnt/destdir "$@"
        ' bash "$@" || status=$?
        umount -R "$work/root"
        umount "$work"
        rmdir "$work"
        return "$status"
}

product_build() {
        local suite=bookworm build="" source destdir
        local -a positional=() options=()

        while (($#)); do
                case $1 in
                        --suite) suite=$2; shift ;;
                        --build-dir) build=$2; shift ;;
                        -*) options+=("$1") ;;
                        *) positional+=("$1") ;;
                esac
                shift
        done
        ((${#positional[@]} == 2)) || die "product wants a source and a destination directory"
        check_suite "$suite"
        need_root
        source=$(realpath -e "${positional[0]}")
        mkdir -p "${positional[1]}"
        destdir=$(realpath -e "${positional[1]}")
        case $destdir in
                / | /usr | /usr/* | /etc | /var | /home | "$source") die "$destdir is no directory to be emptied" ;;
        esac
        build=${build:-$MOORED_CACHE/build-$suite-$(hash_of "$source" "${options[@]}")}
        mkdir -p "$build"
        options+=(-Dprefix=/usr -Dsysconfdir=/etc -Dlocalstatedir=/var)

        if [[ $(machine_suite) == "$suite" ]]; then
                "$source_root/tools/setup" --build
                product_compile "$source" "$build/out" "$destdir" "${options[@]}"
        else
                ensure_devroot "$suite"
                unshare --mount --propagation private -- \
                        "$host_dir/host-a" _compile "$suite" "$source" "$build" "$destdir" "${options[@]}"
        fi
}
