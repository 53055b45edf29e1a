#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""moored against its peers, side by side in one host. Runs inside test host A, as root.

Every bench interleaves the contenders round by round and compares medians, so that what else the machine does hits all alike.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

REGISTRY = "127.0.0.1:5000"
SMALL = f"{REGISTRY}/busybox:test"
LARGE = f"{REGISTRY}/debian:test"
LAYERS = f"{REGISTRY}/layers:test"
BUNDLE = "/run/bench-bundle"
SLEEP = ["sleep", "600"]
# The host has no cgroup controllers: ctr would set a CPU weight.
CTR_RUN = ["--cpu-shares", "0"]
# … and no CAP_SYS_RESOURCE: crun below podman would raise RLIMIT_MEMLOCK for the device filter of a control group. Without one podman
# has less to do, not more.
PODMAN_RUN = ["--cgroups=disabled"]


def run(*command, check=True):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, check=False)
    if check and result.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} ended with {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def timed(*command):
    start = time.perf_counter()
    run(*command)
    return (time.perf_counter() - start) * 1000


def interleave(contenders, rounds, before=None, burst=1, pause=0.0):
    """{name: command or callable} → {name: [milliseconds]}; one warm-up round. With a burst each contender runs that often without a
    pause, and the first of them, which meets what the one before left running behind it, is not counted. pause: seconds before
    each run."""

    samples = {name: [] for name in contenders}
    for i in range(rounds + 1):
        for name, command in contenders.items():
            for k in range(burst):
                if before:
                    before(name)
                time.sleep(pause)
                ms = command() if callable(command) else timed(*command)
                if i > 0 and (k > 0 or burst == 1):
                    samples[name].append(ms)
    return samples


def make_bundle(*args):
    """A bundle for the runtimes from the small image: the same root, the same command."""

    shutil.rmtree(BUNDLE, ignore_errors=True)
    run("umoci", "unpack", "--image", "/run/test-images/oci/busybox:test", BUNDLE)
    with open(f"{BUNDLE}/config.json", encoding="utf-8") as f:
        config = json.load(f)
    config["process"]["args"] = args or ["/bin/true"]
    config["process"]["terminal"] = False
    # crun sets what the image says; a host without CAP_SYS_RESOURCE cannot raise limits.
    config["process"].pop("rlimits", None)
    config["process"].pop("oomScoreAdj", None)
    config.get("linux", {}).pop("resources", None)
    with open(f"{BUNDLE}/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)


def start_containerd():
    # Masked in the test host, where nothing else wants it.
    run("systemctl", "unmask", "--runtime", "containerd.service", check=False)
    run("systemctl", "unmask", "containerd.service")
    run("systemctl", "start", "containerd.service")
    for _ in range(100):
        if subprocess.run(["ctr", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return
        time.sleep(0.1)
    sys.exit("bench: containerd does not answer")


def pull_all(image):
    run("moorctl", "pull", "-q", image)
    run("podman", "pull", "--quiet", "--tls-verify=false", image)
    run("ctr", "images", "pull", "--plain-http", image)


def start_contenders():
    make_bundle()
    pull_all(SMALL)
    n = 0

    def ctr():
        nonlocal n
        n += 1
        return timed("ctr", "run", "--rm", *CTR_RUN, SMALL, f"bench{n}", "/bin/true")

    return {
        "moorctl run --rm": ["moorctl", "run", "--rm", SMALL, "/bin/true"],
        "crun run": ["crun", "run", "--bundle", BUNDLE, "bench"],
        "ctr run --rm": ctr,
        "podman run --rm --network=none": ["podman", "run", "--rm", "--network=none", *PODMAN_RUN, SMALL, "/bin/true"],
    }


START_GOALS = {"ctr run --rm": 1 / 4, "podman run --rm --network=none": 1 / 7}


def bench_start(rounds):
    """From the command to its end: a container of /bin/true, removed afterwards; five in a row of each, in turn."""

    return interleave(start_contenders(), max(3, rounds // 5), burst=6), "moorctl run --rm", START_GOALS


def bench_idle(rounds):
    """The same, each after a fifth of a second of idleness: then the kernel takes 10 to 20 ms more to move a new service into its control
    group (docs/ARCHITECTURE.md, "What a start costs")."""

    return interleave(start_contenders(), max(5, rounds // 3), pause=0.2), "moorctl run --rm", {}


EXEC_GOALS = {"ctr task exec": 1 / 4, "podman exec": 1 / 10}


def bench_exec(rounds):
    """From the command to its end: /bin/true in a container that runs, five in a row of each, in turn."""

    pull_all(SMALL)
    run("moorctl", "run", "-d", "--name=bench-exec", SMALL, "sleep", "600")
    run("ctr", "run", "-d", *CTR_RUN, SMALL, "bench-exec", "sleep", "600")
    run("podman", "run", "-d", "--name=bench-exec", "--network=none", *PODMAN_RUN, SMALL, "sleep", "600")
    n = 0

    def ctr():
        nonlocal n
        n += 1
        return timed("ctr", "task", "exec", "--exec-id", f"exec{n}", "bench-exec", "/bin/true")

    try:
        samples = interleave({
            "moorctl exec": ["moorctl", "exec", "bench-exec", "/bin/true"],
            "ctr task exec": ctr,
            "podman exec": ["podman", "exec", "bench-exec", "/bin/true"],
        }, max(3, rounds // 5), burst=6)
    finally:
        run("moorctl", "rm", "-f", "bench-exec")
        run("ctr", "tasks", "kill", "-s", "SIGKILL", "bench-exec", check=False)
        run("podman", "rm", "-f", "-t", "0", "bench-exec", check=False)
        time.sleep(0.5)
        run("ctr", "tasks", "rm", "bench-exec", check=False)
        run("ctr", "containers", "rm", "bench-exec", check=False)
    return samples, "moorctl exec", EXEC_GOALS


def many(rounds, at_once, goals):
    pull_all(SMALL)
    names = [f"many{i}" for i in range(50)]

    def start(command):
        """All of them, so many commands at a time; milliseconds."""

        with ThreadPoolExecutor(at_once) as pool:
            begin = time.perf_counter()
            list(pool.map(lambda name: run(*command(name)), names))
            return (time.perf_counter() - begin) * 1000

    def moorctl():
        ms = start(lambda name: ["moorctl", "run", "-d", "--name", name, SMALL, *SLEEP])
        run("moorctl", "rm", "-f", *names)
        return ms

    def ctr():
        ms = start(lambda name: ["ctr", "run", "-d", *CTR_RUN, SMALL, name, *SLEEP])
        for name in names:
            run("ctr", "tasks", "kill", "-s", "SIGKILL", name)
        for name in names:
            run("ctr", "tasks", "rm", name, check=False)
            run("ctr", "containers", "rm", name, check=False)
        return ms

    return interleave({"moorctl run -d": moorctl, "ctr run -d": ctr}, max(1, rounds // 10)), "moorctl run -d", goals


def bench_many(rounds):
    """Fifty containers of sleep, started one by one with -d."""

    return many(rounds, 1, {})


def bench_at_once(rounds):
    """The same, eight at a time."""

    return many(rounds, 8, {"ctr run -d": 1 / 3})


def forget(tool, image):
    if tool.startswith("moorctl"):
        run("moorctl", "rmi", "-f", image, check=False)
        run("moorctl", "gc", check=False)
        deadline = time.monotonic() + 20
        trash = "/var/lib/moored/snapshots/overlay/trash"
        while os.path.isdir(trash) and os.listdir(trash) and time.monotonic() < deadline:
            time.sleep(0.05)
    elif tool.startswith("ctr"):
        run("ctr", "images", "rm", "--sync", image, check=False)
    else:
        run("podman", "rmi", "-f", image, check=False)
    os.sync()


def bench_pull_image(image, rounds):
    samples = interleave({
        "moorctl pull": ["moorctl", "pull", "-q", image],
        "ctr images pull": ["ctr", "images", "pull", "--plain-http", image],
        "podman pull": ["podman", "pull", "--quiet", "--tls-verify=false", image],
    }, rounds, before=lambda tool: forget(tool, image))
    return samples, "moorctl pull", {"ctr images pull": 1 / 2}


def bench_pull(rounds):
    """The Debian image: six layers, downloaded and unpacked."""

    return bench_pull_image(LARGE, max(3, rounds // 6))


def bench_layers(rounds):
    """Twenty layers of 2,500 small files."""

    return bench_pull_image(LAYERS, max(2, rounds // 10))


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def main_pid(unit):
    return int(run("systemctl", "show", "--value", "--property=MainPID", unit).strip())


def mountinfo_lines():
    with open("/proc/1/mountinfo", encoding="ascii") as f:
        return len(f.readlines())


def processes():
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}


def bench_memory(_rounds):
    """PSS of the idle daemons after what the other benches did, and what a hundred running containers add."""

    names = [f"memory{i}" for i in range(100)]
    pull_all(SMALL)
    time.sleep(2)
    mounts_before, processes_before = mountinfo_lines(), processes()
    idle = pss(main_pid("moored.service"))
    for name in names:
        run("moorctl", "run", "-d", "--name", name, SMALL, *SLEEP)
    time.sleep(2)
    running = pss(main_pid("moored.service"))
    mounts = mountinfo_lines() - mounts_before
    theirs = {main_pid(f"moored-default-{name}.service") for name in names}
    others = processes() - processes_before - theirs
    run("moorctl", "rm", "-f", *names)
    return {
        "moored idle, KiB PSS": idle,
        "moored with 100 containers, KiB PSS": running,
        "KiB for each container (goal: less than 20)": round((running - idle) / len(names), 2),
        "containerd idle, KiB PSS": pss(main_pid("containerd.service")),
        "lines added to PID 1's mountinfo by 100 containers": mounts,
        "processes added besides the containers' own": len(others),
    }


RUNTIMES = ("mooring", "crun", "runc")
RUNTIME_GOALS = {"crun": 1.0}


def start_quietly(*command):
    """In the background, with nothing of this process' but its death: a container that kept a pipe open would be waited for."""

    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def bench_runtime_run(rounds):
    """The runtimes by themselves: the same bundle with /bin/true, in the foreground."""

    make_bundle()
    n = 0

    def runtime(tool):
        def call():
            nonlocal n
            n += 1
            return timed(tool, "run", "--bundle", BUNDLE, f"bench{n}")
        return call

    return interleave({f"{tool} run": runtime(tool) for tool in RUNTIMES}, rounds * 3), "mooring run", \
        {f"{tool} run": goal for tool, goal in RUNTIME_GOALS.items()}


def bench_runtime_exec(rounds):
    """/bin/true in a container that runs: each runtime in one of its own."""

    make_bundle(*SLEEP)
    for tool in RUNTIMES:
        if start_quietly(tool, "run", "--detach", "--bundle", BUNDLE, f"bench-{tool}").wait() != 0:
            sys.exit(f"bench: {tool} run --detach failed")
    try:
        samples = interleave({f"{tool} exec": [tool, "exec", f"bench-{tool}", "/bin/true"] for tool in RUNTIMES}, rounds * 3)
    finally:
        for tool in RUNTIMES:
            run(tool, "delete", "--force", f"bench-{tool}", check=False)
    return samples, "mooring exec", {f"{tool} exec": goal for tool, goal in RUNTIME_GOALS.items()}


def process_field(pid, file, name):
    with open(f"/proc/{pid}/{file}", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith(name + ":"):
                return line.split()[1]
    return ""


def wait_for_sleeping(n):
    """Until so many processes have executed the command."""

    for _ in range(1000):
        if len(run("pgrep", "--exact", SLEEP[0], check=False).split()) >= n:
            return
        time.sleep(0.01)
    sys.exit("bench: the container does not run")


def bench_runtime_memory(_rounds):
    """What a runtime in the foreground has taken at most (VmHWM), and what it takes while it waits for its container (PSS)."""

    make_bundle(*SLEEP)
    figures = {}
    for tool in RUNTIMES:
        name = f"bench-{tool}"
        container = start_quietly(tool, "run", "--bundle", BUNDLE, name)
        wait_for_sleeping(1)
        command = start_quietly(tool, "exec", name, *SLEEP)
        wait_for_sleeping(2)
        time.sleep(0.5)
        for what, process in (("run", container), ("exec", command)):
            figures[f"{tool} {what}, most, KiB"] = int(process_field(process.pid, "status", "VmHWM"))
            figures[f"{tool} {what}, waiting, KiB PSS"] = pss(process.pid)
        run(tool, "kill", name, "KILL")
        container.wait()
        command.wait()
        run(tool, "delete", "--force", name, check=False)
    for name, kib in list(figures.items()):
        if name.startswith("mooring "):
            figures[f"{name.split(', KiB')[0]}: takes of crun's"] = round(kib / figures[name.replace("mooring", "crun", 1)], 3)
    return figures


PUBLISHED = {"moorctl": 8081, "podman": 8082, "ctr": 8083}
CNI = """{ "cniVersion": "0.4.0", "name": "bench", "plugins": [
  { "type": "bridge", "bridge": "bench0", "isGateway": true, "ipMasq": true,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.98.0.0/16" }]], "routes": [{ "dst": "0.0.0.0/0" }] } } ] }
"""
WITH_PORT = "moorctl run --rm -p"
ADDED_GOALS = {WITH_PORT: ("moorctl run --rm", 8.0)}


def configure_cni():
    """For ctr, which takes the first configuration there is, and plug-ins from where Debian does not have them."""

    os.makedirs("/etc/cni/net.d", exist_ok=True)
    with open("/etc/cni/net.d/00-bench.conflist", "w", encoding="ascii") as f:
        f.write(CNI)
    if not os.path.exists("/opt/cni/bin"):
        os.makedirs("/opt/cni", exist_ok=True)
        os.symlink("/usr/lib/cni", "/opt/cni/bin")


def podman_network():
    """Which of the two that it may have."""

    return run("podman", "info", "--format", "{{.Host.NetworkBackend}}").strip()


def bench_network(rounds):
    """What a bridge with a published port adds to a start: the same container of /bin/true, removed afterwards, without a network and with
    one; five in a row of each, in turn. (ctr has a bridge only: it publishes no ports.)"""

    pull_all(SMALL)
    n = 0

    def ctr(*options):
        def call():
            nonlocal n
            n += 1
            return timed("ctr", "run", "--rm", *CTR_RUN, *options, SMALL, f"network{n}", "/bin/true")
        return call

    podman = ["podman", "run", "--rm", *PODMAN_RUN]
    backend = f"podman run --rm -p ({podman_network()})"
    contenders = {
        "moorctl run --rm": ["moorctl", "run", "--rm", "--network=none", SMALL, "/bin/true"],
        WITH_PORT: ["moorctl", "run", "--rm", "-p", f"{PUBLISHED['moorctl']}:80", SMALL, "/bin/true"],
        "podman run --rm": [*podman, "--network=none", SMALL, "/bin/true"],
        backend: [*podman, "-p", f"{PUBLISHED['podman']}:80", SMALL, "/bin/true"],
    }
    # podman's own is a file in the same directory.
    run(*contenders[backend])
    configure_cni()
    contenders |= {"ctr run --rm": ctr(), "ctr run --rm --cni": ctr("--cni")}
    try:
        samples = interleave(contenders, max(3, rounds // 5), burst=6)
    finally:
        os.unlink("/etc/cni/net.d/00-bench.conflist")
    return samples, {backend: ("podman run --rm", None), "ctr run --rm --cni": ("ctr run --rm", None), **ADDED_GOALS}


OUTSIDE = "bench-outside"
HOST, PEER = "192.0.2.1", "192.0.2.2"
TRANSFER = 512 << 20  # bytes, in each direction

# The same program for both ends. The server's answers are as many bytes as it is asked for, or one byte when it has got so many.
SERVER = """
import socket, sys
data = bytearray(1 << 20)
def take(s, n):
    while n > 0:
        got = s.recv_into(data, min(n, len(data)))
        if got == 0:
            sys.exit("the connection ended early")
        n -= got
def give(s, n):
    while n > 0:
        part = memoryview(data)[:min(n, len(data))]
        s.sendall(part)
        n -= len(part)
if sys.argv[1] == "serve":
    l = socket.create_server(("", 80))
    print("listening", flush=True)
    while True:
        s, _ = l.accept()
        with s:
            what, n = s.recv(32).decode().split()
            s.sendall(b"!")
            if what == "give":
                give(s, int(n))
            else:
                take(s, int(n))
                s.sendall(b"!")
else:
    import time
    host, port, n = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    begin = time.perf_counter()
    for what in "give", "take":
        with socket.create_connection((host, port)) as s:
            s.sendall(f"{what} {n}".encode())
            take(s, 1)
            if what == "give":
                take(s, n)
            else:
                give(s, n)
                take(s, 1)
    print((time.perf_counter() - begin) * 1000)
"""


def make_outside():
    """A host beside this one."""

    for command in (f"netns add {OUTSIDE}", f"link add bench-out type veth peer name eth0 netns {OUTSIDE}", f"addr add {HOST}/24 dev bench-out",
                    "link set bench-out up", f"-n {OUTSIDE} addr add {PEER}/24 dev eth0", f"-n {OUTSIDE} link set eth0 up"):
        run("ip", *command.split())


def serve(pid):
    """In the network namespace of a container's process, as the images have no such program."""

    server = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", "python3", "-c", SERVER, "serve"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE)
    if server.stdout.readline() != b"listening\n":
        sys.exit(f"bench: nobody listens in the network namespace of process {pid}")
    return server


def ask(tool, size=TRANSFER):
    out = run("ip", "netns", "exec", OUTSIDE, "python3", "-c", SERVER, "ask", HOST, str(PUBLISHED[tool]), str(size))
    return float(out)


def bench_throughput(rounds):
    """512 MiB out of a container and as many into it, by a published port, from another network namespace."""

    run("moorctl", "pull", "-q", SMALL)
    run("podman", "pull", "--quiet", "--tls-verify=false", SMALL)
    servers = []
    make_outside()
    try:
        run("moorctl", "run", "-d", "--name=network", "-p", f"{PUBLISHED['moorctl']}:80", SMALL, *SLEEP)
        run("podman", "run", "-d", "--name=network", *PODMAN_RUN, "-p", f"{PUBLISHED['podman']}:80", SMALL, *SLEEP)
        servers.append(serve(main_pid("moored-default-network.service")))
        servers.append(serve(int(run("podman", "inspect", "--format", "{{.State.Pid}}", "network"))))
        samples = interleave({"moorctl -p": lambda: ask("moorctl"), "podman -p": lambda: ask("podman")}, max(5, rounds))
    finally:
        for server in servers:
            server.kill()
            server.wait()
        run("moorctl", "rm", "-f", "network", check=False)
        run("podman", "rm", "-f", "-t", "0", "network", check=False)
        run("ip", "link", "del", "bench-out", check=False)
        run("ip", "netns", "del", OUTSIDE, check=False)
    # Within noise.
    return samples, "moorctl -p", {"podman -p": 1.05}


TIMED = {
    "start": bench_start, "idle": bench_idle, "exec": bench_exec, "many": bench_many, "at-once": bench_at_once,
    "pull": bench_pull, "layers": bench_layers, "throughput": bench_throughput,
    "runtime-run": bench_runtime_run, "runtime-exec": bench_runtime_exec,
}
ADDED = {"network": bench_network}
FIGURES = {"memory": bench_memory, "runtime-memory": bench_runtime_memory}
# Last: what moored takes of memory is measured without networks.
NETWORK = ("network", "throughput")
GROUPS = {"runtime": ["runtime-run", "runtime-exec", "runtime-memory"]}


def report(name, description, samples, ours, goals):
    medians = {tool: statistics.median(values) for tool, values in samples.items()}
    print(f"{name}: {description}")
    for tool, ms in medians.items():
        line = f"  {tool:<34} {ms:9.1f} ms  (min {min(samples[tool]):.1f}, {len(samples[tool])} runs)"
        if tool != ours:
            line += f"   {ours} takes {medians[ours] / ms:.3f} of it"
            if tool in goals:
                line += f" (goal {goals[tool]:.3f}: {'reached' if medians[ours] / ms <= goals[tool] else 'MISSED'})"
        print(line, flush=True)
    return {tool: {"median": medians[tool], "samples": values} for tool, values in samples.items()}


def report_added(name, description, samples, added):
    """As report(); added: {name: (name of the same without what is measured, the most that may be added or None)}."""

    medians = {tool: statistics.median(values) for tool, values in samples.items()}
    results = {tool: {"median": medians[tool], "samples": values} for tool, values in samples.items()}
    print(f"{name}: {description}")
    for tool, ms in medians.items():
        line = f"  {tool:<34} {ms:9.1f} ms  (min {min(samples[tool]):.1f}, {len(samples[tool])} runs)"
        if tool in added:
            without, goal = added[tool]
            results[tool]["added"] = ms - medians[without]
            line += f"   adds {ms - medians[without]:.1f} ms (least to least {min(samples[tool]) - min(samples[without]):.1f})"
            if goal is not None:
                line += f" (goal {goal:.1f}: {'reached' if ms - medians[without] <= goal else 'MISSED'})"
        print(line, flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="print the samples as JSON instead of a table")
    parser.add_argument("bench", nargs="*", choices=[[], *TIMED, *ADDED, *FIGURES, *GROUPS])
    args = parser.parse_args()
    names = [name for bench in args.bench for name in GROUPS.get(bench, [bench])] or sorted([*TIMED, *ADDED, *FIGURES], key=lambda name: name in NETWORK)

    if set(names) - set(GROUPS["runtime"]):
        start_containerd()
    results = {}
    stdout = sys.stdout
    if args.json:
        sys.stdout = sys.stderr
    for name in names:
        function = TIMED.get(name) or ADDED.get(name) or FIGURES[name]
        description = " ".join(function.__doc__.split())
        if name in TIMED:
            results[name] = report(name, description, *function(args.rounds))
        elif name in ADDED:
            results[name] = report_added(name, description, *function(args.rounds))
        else:
            results[name] = function(args.rounds)
            print(f"{name}: {description}")
            for key, value in results[name].items():
                print(f"  {key:<55} {value}")
    if args.json:
        json.dump(results, stdout, indent=1)
        print(file=stdout)


if __name__ == "__main__":
    main()
