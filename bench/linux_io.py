# SPDX-License-Identifier: Apache-2.0
"""Inside the rig, for bench/linux-io: linux_io.py WORK MONITOR KERNEL RUNS. Prints {"ours": {...}, "qemu": {...}}, medians."""
import fcntl, json, os, shutil, socket, statistics, struct, subprocess, sys, time

work, monitor, kernel, runs = sys.argv[1:4] + [int(sys.argv[4])]
DISK, VM, TAP = "/run/bench-disk", "/run/bench-vm", "lvbench"
LIMIT = 60


def tap_fd():
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", TAP.encode(), 0x5002))  # TUNSETIFF: TAP, NO_PI, VNET_HDR
    return fd


def ours(part):
    command = [monitor, "--kernel", kernel, "--initrd", work + "/initrd", "--mem", "256M", "--cpuid-cache", "/run/cpuid", "--serial",
               "--append", "quiet bench=" + part, "--image", work + "/image"]
    fds = ()
    if part == "disk":
        command += ["--disk", DISK]
    elif part == "net":
        fds = (tap_fd(),)
        command += ["--net", "tap:fd:%d" % fds[0]]
    else:
        shutil.rmtree(VM, ignore_errors=True)
        os.mkdir(VM, 0o700)
        command += ["--vsock", VM]
    return command, fds


def qemu(part):
    command = ["qemu-system-x86_64", "-M", "microvm,acpi=off,pit=off,pic=off,rtc=off", "-accel", "kvm", "-cpu", "host,-xsave", "-m", "256", "-nodefaults",
               "-no-user-config", "-nographic", "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", work + "/initrd",
               "-append", "console=ttyS0 quiet reboot=t panic=-1 bench=" + part]
    if part == "disk":
        command += ["-drive", "if=none,id=b,format=raw,aio=io_uring,file=" + DISK, "-device", "virtio-blk-device,drive=b"]
    elif part == "net":
        command += ["-netdev", "tap,id=n,script=no,downscript=no,vhost=off,ifname=" + TAP, "-device", "virtio-net-device,netdev=n"]
    else:
        command += ["-device", "vhost-vsock-device,guest-cid=7"]
    command += ["-drive", "if=none,id=a,format=raw,read-only=on,file=%s/image" % work, "-device", "virtio-blk-device,drive=a"]
    return command, ()


class Guest:
    """A running monitor; its lines are read until one holds a word."""

    def __init__(self, who, part):
        command, fds = who(part)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=fds)
        for fd in fds:
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def line(self, word):
        seen = []
        for raw in self.process.stdout:
            seen.append(raw.decode(errors="replace").strip())
            if word in seen[-1]:
                return seen[-1]
        sys.exit("the guest never said %s, but: %s" % (word, seen[-20:]))


def fio(line, field):
    fields = line.split(";")
    return float(fields[field]) if len(fields) > field else sys.exit("fio said: " + line)


def disk(who):
    with Guest(who, "disk") as guest:
        return {"read": fio(guest.line("READ;"), 8), "write": fio(guest.line("WRITE;"), 49)}


def stream(*options):
    answer = subprocess.run(["iperf3", "-c", "10.99.0.2", "-t", "3", "-J", *options], stdout=subprocess.PIPE, timeout=LIMIT)
    told = json.loads(answer.stdout)
    if "sum_received" not in told["end"]:
        sys.exit("iperf3: %s" % told.get("error"))
    return told["end"]["sum_received"]["bits_per_second"] / 1e6


def net(who):
    with Guest(who, "net") as guest:
        guest.line("Server listening")
        to = stream()
        guest.line("Server listening")
        return {"to": to, "from": stream("-R")}


def connect(who):
    if who is qemu:
        s = socket.socket(socket.AF_VSOCK)
        s.connect((7, 1001))
        return s
    s = socket.socket(socket.AF_UNIX)
    s.connect(VM + "/vsock")
    s.sendall(b"CONNECT 1001\n")
    answer = b""
    while not answer.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            raise OSError("refused")
        answer += byte
    return s


def vsock(who):
    with Guest(who, "vsock") as guest:
        guest.line("READY")
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                s = connect(who)
                break
            except OSError:  # it is about to listen
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        count, began = 0, time.monotonic()
        while time.monotonic() - began < 2:
            s.sendall(b"x" * 64)
            left = 64
            while left:
                left -= len(s.recv(left))
            count += 1
        return {"echo": count / (time.monotonic() - began)}


os.truncate(os.open(DISK, os.O_RDWR | os.O_CREAT, 0o600), 256 << 20)
subprocess.run(["modprobe", "vhost_vsock"], check=True)
subprocess.run("ip tuntap add %s mode tap vnet_hdr; ip addr add 10.99.0.1/24 dev %s; ip link set %s up" % (TAP, TAP, TAP), shell=True, check=True)
samples = {"ours": {}, "qemu": {}}
for _ in range(runs):
    for measure in (disk, net, vsock):
        for who in (ours, qemu):
            for what, value in measure(who).items():
                samples[who.__name__].setdefault(what, []).append(value)
            print(who.__name__, measure.__name__, samples[who.__name__], file=sys.stderr)
print(json.dumps({who: {what: round(statistics.median(values)) for what, values in of.items()} for who, of in samples.items()}))
