"""Drives the RemoteSandboxBackend of a DeerFlow checkout, unmodified, against `npm start` on a real cluster, in each layout of the
files. Prints each step, what was expected and what was seen; ends with 1 where they differ. CONTRIBUTING.md says how to run it."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from caller import THREAD, Checkout, describe_layouts

HERE = Path(__file__).parent
NAMESPACE, PORT = os.environ.get("K8S_NAMESPACE", "deerflow-drive"), os.environ.get("PORT", "8002")
URL, KEY = f"http://localhost:{PORT}", "a-key-of-the-drive"
differences = []


def check(step, expected, call, seconds=0):
    """A line of the table: what a call gives or raises. It is made until that is as expected (a value, or a pattern) or time is over."""
    end = time.monotonic() + seconds
    while True:
        try:
            seen = call()
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        if seen == expected or time.monotonic() >= end:
            break
        time.sleep(1)
    is_so = bool(expected.search(str(seen))) if isinstance(expected, re.Pattern) else expected == seen
    differences.extend([] if is_so else [step])
    wanted, shown = getattr(expected, "pattern", str(expected)), str(seen)[:120] if is_so else seen
    print(f"{'ok' if is_so else 'DIFFERS':7} | {step:46} | {wanted:40} | {'the same' if wanted == shown else shown}", flush=True)
    return seen


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def kubectl(*args, **options):
    return run("kubectl", "--kubeconfig", os.environ["KUBECONFIG_PATH"], "--namespace", NAMESPACE, *args, **options)


def start(layout, stack, log):
    """Makes the namespace and the layout's claims, and starts the provisioner. The stack undoes all that."""
    kubectl("create", "namespace", NAMESPACE)
    stack.callback(kubectl, "delete", "namespace", NAMESPACE)
    for name, folder in layout.claims.items():
        spec = {"accessModes": ["ReadWriteMany"], "storageClassName": NAMESPACE}
        volume = {**spec, "capacity": {"storage": "1Gi"}, "hostPath": {"path": f"{folder}"}}
        claim = {**spec, "volumeName": f"{NAMESPACE}-{name}", "resources": {"requests": {"storage": "1Gi"}}}
        for kind, its_name, its_spec in (("", f"{NAMESPACE}-{name}", volume), ("Claim", name, claim)):
            made = {"apiVersion": "v1", "kind": f"PersistentVolume{kind}", "metadata": {"name": its_name}, "spec": its_spec}
            kubectl("create", "--filename=-", input=json.dumps(made))
        stack.callback(kubectl, "delete", "persistentvolume", f"{NAMESPACE}-{name}", "--wait=false")
    stack.callback(kubectl, "delete", "pods", "--all", "--grace-period=0", "--force")
    given = {name: os.environ[name] for name in ("PATH", "HOME", "KUBECONFIG_PATH", "NODE_HOST", "SANDBOX_IMAGE")}
    settings = {**given, "PORT": PORT, "K8S_NAMESPACE": NAMESPACE, "PROVISIONER_API_KEY": KEY, **layout.settings}
    server = subprocess.Popen(["npm", "start"], cwd=HERE, env=settings, stdout=log.open("w"), stderr=subprocess.STDOUT)
    stack.callback(server.terminate)
    if "SANDBOX_URL_TEMPLATE" in settings:
        stack.callback(subprocess.Popen([HERE / "../../node_modules/.bin/node", HERE / "gateway.ts"], env=settings).terminate)
    if check("npm start answers", 200, lambda: urllib.request.urlopen(f"{URL}/health").status, 120) != 200 or server.poll() is not None:
        raise SystemExit(log.read_text())
    return server


class Gateway:
    """What DeerFlow's gateway does, in one layout."""

    def __init__(self, checkout, layout):
        self.checkout, self.layout, self.backend = checkout, layout, checkout.Backend(URL, KEY)
        # Each time others: on the node an earlier Pod of the same name may still end.
        self.ids = {user: os.urandom(8).hex() for user in ("alice", "bob", "carol", "dave")}

    def create(self, user, backend=None, **flags):
        for host_path, *_ in self.layout.list_mounts(user):
            self.layout.on_node(host_path).mkdir(parents=True, exist_ok=True)
        return (backend or self.backend).create(THREAD, self.ids[user], self.layout.list_mounts(user), user_id=user, **flags)

    def run(self, user, command):
        return run(HERE / "../../node_modules/.bin/node", HERE / "run-in-sandbox.ts", NAMESPACE, self.ids[user], *command.split())

    def check_strangers(self):
        refused, sandbox_id = re.compile("RuntimeError.* 401"), self.ids["alice"]
        for name, key in (("no key", ""), ("a wrong key", "another-key-of-the-drive"), ("a key not in ASCII", "schlüssel")):
            stranger = self.checkout.Backend(URL, key)
            check(f"{name}: create", refused, lambda: self.create("alice", stranger))
            check(f"{name}: discover, list", (None, []), lambda: (stranger.discover(sandbox_id), stranger.list_running()))
            check(f"{name}: is_alive", refused, lambda: stranger.is_alive(self.checkout.Info(sandbox_id, "")))

    def check_life(self, user):
        sandbox_id, backend, sent = self.ids[user], self.backend, self.checkout.select_mounts(self.layout.list_mounts(user))
        in_cluster = self.layout.settings.get("SANDBOX_SERVICE_TYPE") == "ClusterIP"
        host = f"sandbox-{sandbox_id}-svc.{NAMESPACE}.svc.cluster.local:8080" if in_cluster else rf"{os.environ['NODE_HOST']}:\d+"
        if "SANDBOX_URL_TEMPLATE" in self.layout.settings:
            host = f"127.0.0.1:8155/{NAMESPACE}/{sandbox_id}/[a-z2-7]{{34}}"
        check(f"{user}: discover before create", None, lambda: backend.discover(sandbox_id))
        info = check(f"{user}: create, {len(sent)} extra mounts", re.compile(f"sandbox_url='http://{host}'"), lambda: self.create(user))
        if not in_cluster:
            check(f"{user}: ready within 60 s", True, lambda: self.checkout.wait_until_ready(info.sandbox_url, 60))
        check(f"{user}: is_alive", True, lambda: backend.is_alive(info), 60)
        check(f"{user}: discover, the same URL", info.sandbox_url, lambda: backend.discover(sandbox_id).sandbox_url)
        if self.checkout.is_new:
            uid = kubectl("get", "pod", f"sandbox-{sandbox_id}", "--output=jsonpath={.metadata.uid}")
            check(f"{user}: presence", (uid, uid), lambda: (info.container_id, backend.inspect_runtime(sandbox_id).container_id))
        self.check_mounts(user, self.layout.expect_mounts(user, sent))

    def check_mounts(self, user, expected):
        """The sandbox writes into each mount, and reads there what the gateway wrote."""
        for folder, _ in expected.values():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "gateway").write_text(f"{folder}")
        (expected["/mnt/user-data"][0] / "look.sh").write_text(f"""
            for m in $(/bin/busybox awk '$2 ~ "^/mnt" {{print $2}}' /proc/mounts); do
                echo "$m|$(/bin/busybox cat $m/gateway)|$( (echo {user} >$m/{user}) 2>&1 && echo written)"
            done""")

        def look():
            seen = {}
            for line in self.run(user, "/bin/sh /mnt/user-data/look.sh").splitlines():
                mount, folder, writing = line.split("|")
                is_written = writing == "written" and Path(folder, user).read_text().strip() == user
                seen[mount] = (Path(folder), is_written if is_written or "Read-only file system" in writing else writing)
            return {mount: (expected.get(mount), seen.get(mount)) for mount in expected | seen if expected.get(mount) != seen.get(mount)}

        check(f"{user}: {len(expected)} mounts, {sum(can_write for _, can_write in expected.values())} writable", {}, look)
        if user == "bob":
            of_alice = "/mnt/user-data/alice" if self.layout.threads else ""
            check("bob: what he finds of alice", of_alice, lambda: self.run("bob", "/bin/busybox find /mnt -name alice"))
            check("list", {self.ids["alice"], self.ids["bob"]}, lambda: {one.sandbox_id for one in self.backend.list_running()})

    def check_lost_pod(self):
        backend, before = self.backend, self.backend.discover(self.ids["bob"])
        kubectl("delete", "pod", f"sandbox-{before.sandbox_id}", "--grace-period=0", "--force")
        check("Pod lost: is_alive, discover", (False, None), lambda: (backend.is_alive(before), backend.discover(before.sandbox_id)))
        check("Pod lost: is in the list", True, lambda: before.sandbox_id in [one.sandbox_id for one in backend.list_running()])
        if self.checkout.is_new:
            check("Pod lost: is_absent", True, lambda: backend.is_absent(before.sandbox_id))
        check("Pod lost: create mends it, the same URL", before.sandbox_url, lambda: self.create("bob").sandbox_url)
        check("Pod lost: is_alive after that", True, lambda: backend.is_alive(before), 60)

    def check_new(self):
        """What callers of September 2026 and later do. Nine agents at once fit into what an image has; twelve do not."""
        nine = self.checkout.Backend(URL, KEY, required_shell_sessions=10)
        twelve = self.checkout.Backend(URL, KEY, 13, required_shell_sessions=13)
        check("9 agents: create, to be replaced", False, lambda: self.create("alice", nine).requires_replacement)
        check("12 agents: discover, to be replaced", True, lambda: twelve.discover(self.ids["alice"]).requires_replacement)
        check("12 agents: create over that one", re.compile("RuntimeError.* 409"), lambda: self.create("alice", twelve))
        info = check("12 agents: create", re.compile("container_id='"), lambda: self.create("carol", twelve))
        check("12 agents: is_alive", True, lambda: twelve.is_alive(info), 60)
        check("12 agents: said in the sandbox", True, lambda: "MAX_SHELL_SESSIONS=13" in self.run("carol", "/bin/busybox env"))
        backend, bad = self.backend, self.backend.inspect_runtime(self.ids["bob"])
        check("quarantine: destroy", None, lambda: backend.destroy(bad))
        check("quarantine: lifted, as the Pod is absent", True, lambda: backend.is_absent(bad.sandbox_id), 120)
        check("quarantine: create, the same generation", False, lambda: self.create("bob").container_id in (None, bad.container_id))

    def check_lark(self):
        request = urllib.request.Request(f"{URL}/api/capabilities", headers={"User-Agent": "deer-flow", "X-API-Key": KEY})
        none = {"lark_cli_init_image": False, "lark_cli_broker_image": False}
        check("capabilities", none, lambda: json.load(urllib.request.urlopen(request, timeout=1.5)))
        info = check("Lark's runtime flag: create", re.compile("sandbox_url="), lambda: self.create("dave", provision_lark_cli_runtime=True))
        self.checkout.forgotten.clear()
        check("Lark's broker flag: create", re.compile("RuntimeError.* 503"), lambda: self.create("dave", provision_lark_cli_broker=True))
        check("Lark's broker flag: capabilities are forgotten", [(URL, KEY)] * self.checkout.is_new, lambda: self.checkout.forgotten)
        check("destroy, discover", (None, None), lambda: (self.backend.destroy(info), self.backend.discover(info.sandbox_id)))

    def check_end(self, server):
        backend, info, failed = self.backend, self.backend.discover(self.ids["alice"]), re.compile("RuntimeError.*refused")
        server.terminate()
        server.wait(30)
        check("server gone: discover, list", (None, []), lambda: (backend.discover(info.sandbox_id), backend.list_running()))
        check("server gone: is_alive", failed, lambda: backend.is_alive(info))
        check("server gone: create", failed, lambda: self.create("alice"))
        check("server gone: destroy", failed if self.checkout.is_new else None, lambda: backend.destroy(info))
        if self.checkout.is_new:
            check("server gone: is_absent", failed, lambda: backend.is_absent(info.sandbox_id))


def main(folder, node_folder, *names):
    checkout = Checkout(folder)
    for name in names or describe_layouts(Path()):
        with TemporaryDirectory(dir=node_folder, ignore_cleanup_errors=True) as root, ExitStack() as stack:
            layout = describe_layouts(Path(root))[name]
            Path(root, "skills").mkdir()  # an operator's
            print(f"\n{name}: {' '.join(f'{key}={value}' for key, value in layout.settings.items())}", flush=True)
            server, gateway = start(layout, stack, Path(root, "log")), Gateway(checkout, layout)
            gateway.check_strangers()
            gateway.check_life("alice")
            gateway.check_life("bob")
            gateway.check_lost_pod()
            if checkout.is_new:
                gateway.check_new()
            gateway.check_lark()
            gateway.check_end(server)
    raise SystemExit(f"{len(differences)} differences" if differences else 0)


main(*sys.argv[1:])
