# shellcheck shell=bash
# The Containerfile: an image for each platform that dist has a binary for, and
# the image for this host, run with the options that the Containerfile names.

group_image() {
    local store=$RUN/images platforms='' manifest words root status f
    if ! command -v buildah >/dev/null || ! command -v jq >/dev/null; then
        skip "image" "there is no buildah, or no jq (Debian packages of these names)"
        return 0
    fi
    if [ "$(id -u)" != 0 ]; then
        skip "image" "buildah is tried as root only"
        return 0
    fi
    # A build folder with the binaries under the names that they have in dist.
    mkdir -p "$RUN/context/dist"
    for f in "${BINARIES[@]}" ${NATIVE:+"$NATIVE"}; do
        case $(elf_cpu "$f"):$f in
            aarch64:*) add_platform linux/arm64 aarch64 ;;
            x86_64:*) add_platform linux/amd64 x86_64 ;;
            riscv64:*) add_platform linux/riscv64 riscv64 ;;
            arm:*armv6) add_platform linux/arm/v6 armv6 ;;
            arm:*) add_platform linux/arm/v7 armv7 ;;
        esac
    done
    buildah_here() { timeout 300 buildah --root "$store" --runroot "$RUN/images-run" --storage-driver vfs "$@"; }
    if ! buildah_here bud --format docker --isolation=chroot --platform "${platforms#,}" --manifest pi-monitor -f "$HERE/container/Containerfile" "$RUN/context" >"$RUN/image.log" 2>&1; then
        fail "image: build" "$(tail -n 3 "$RUN/image.log" | tr '\n' '|')"
        return 0
    fi
    manifest=$(buildah_here manifest inspect localhost/pi-monitor)
    words=$(printf '%s' "$manifest" | jq -r '[.manifests[].platform | .os + "/" + .architecture + (if .variant then "/" + .variant else "" end)] | sort | join(",")')
    if [ "$words" = "$(printf '%s' "${platforms#,}" | tr , '\n' | sort | paste -sd,)" ]; then
        pass "image: platforms" "$words ($(buildah --version | cut -d' ' -f1-3))"
    else
        fail "image: platforms" "the manifest has $words, wanted ${platforms#,}"
    fi
    [ -n "$NATIVE" ] || { skip "image: run" "no binary for this host's CPU"; return 0; }

    status=$(buildah_here from --pull-never "$(printf '%s' "$manifest" | jq -r --arg a "$(dpkg --print-architecture)" '.manifests[] | select(.platform.architecture == $a) | .digest' | head -n 1 | sed 's/^/localhost\/pi-monitor@/')" 2>>"$RUN/image.log") || status=''
    if [ -z "$status" ] || ! root=$(buildah_here mount "$status"); then
        fail "image: run" "cannot mount it: $(tail -n 2 "$RUN/image.log" | tr '\n' '|')"
        return 0
    fi
    words=$(cd "$root" && find . -type f | tr '\n' ' ')$(buildah_here inspect "$status" | jq -c '.OCIv1.config | [.User, .Entrypoint[0], (.ExposedPorts | keys[0])]')
    if [ "$words" = './pi-monitor ["65534:65534","/pi-monitor","9100/tcp"]' ] && cmp -s "$root/pi-monitor" "$NATIVE"; then
        pass "image: contents" "one file; user, entry point and port $(printf '%s' "$words" | cut -d' ' -f2)"
    else
        fail "image: contents" "$words"
    fi
    words=$(buildah_here inspect "$status" | jq -c '.Docker.config.Healthcheck.Test')
    if [ "$words" = '["CMD","/pi-monitor","health"]' ]; then pass "image: health check of the configuration" "$words"; else fail "image: health check of the configuration" "$words"; fi
    image_run "$root"
    buildah_here umount "$status" >/dev/null
}

add_platform() { # PLATFORM NAME; f is the binary
    case ,$platforms, in *",$1,"*) return ;; esac
    cp "$f" "$RUN/context/dist/pi-monitor-$2"
    platforms=$platforms,$1
}

# No engine runs in such a test: what podman would do with "--pid host --net host
# -v /:/host:ro,rslave", done by hand, but with a network of its own.
image_run() { # ROOT
    local root=$1 pid='' answer='' dir=$RUN/image-root healthy=0 dead=0
    mkdir -p "$dir"
    # shellcheck disable=SC2016  # expanded by that shell
    unshare --mount --net --propagation slave sh -c '
        mount --bind "$1" "$2" && mkdir -p "$2/host" "$2/proc" "$2/sys" && mount --rbind / "$2/host" && mount -o remount,bind,ro "$2/host" &&
        mount --rbind /proc "$2/proc" && ip link set lo up &&
        exec chroot --userspec=65534:65534 "$2" /pi-monitor --path.rootfs=/host --path.procfs=/host/proc --path.sysfs=/host/sys' sh "$root" "$dir" >"$RUN/image-run.log" 2>&1 &
    pid=$!
    for _ in $(seq 300); do
        sleep 0.2
        answer=$(nsenter -t $pid -n curl -fsS --noproxy '*' --max-time 5 http://127.0.0.1:9100/metrics 2>/dev/null) && break
    done
    # What an engine runs in it as its health check: while it answers, and when it does not.
    nsenter -t $pid -n -m -r -w -S 65534 -G 65534 /pi-monitor health >"$RUN/image-health.txt" 2>&1 || healthy=$?
    kill $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    unshare --net chroot --userspec=65534:65534 "$root" /pi-monitor health >>"$RUN/image-health.txt" 2>&1 || dead=$?
    if [ $healthy = 0 ] && [ $dead = 1 ]; then
        pass "image: the health check" "0 while it answers, 1 when nothing does"
    else
        fail "image: the health check" "status $healthy while it answers, $dead when nothing does: $(tr '\n' '|' <"$RUN/image-health.txt")"
    fi
    printf '%s\n' "$answer" >"$RUN/image-metrics.txt"
    if ! grep -q "version=\"$FIRST_VERSION\"" "$RUN/image-metrics.txt"; then
        fail "image: run" "no answer: $(tail -n 2 "$RUN/image-run.log" | tr '\n' '|')"
    elif ! grep -q '^pi_disk_total_bytes{.*mountpoint="/",' "$RUN/image-metrics.txt" || grep -q '^pi_disk_.*mountpoint="/host' "$RUN/image-metrics.txt"; then
        fail "image: run" "the host's file systems are not told as the host sees them: $(grep '^pi_disk_total_bytes' "$RUN/image-metrics.txt" | head -n 3 | tr '\n' '|')"
    else
        pass "image: run" "$FIRST_VERSION answers as user 65534 and tells the host's file systems: $(grep -c '^pi_disk_total_bytes' "$RUN/image-metrics.txt")"
    fi
}
