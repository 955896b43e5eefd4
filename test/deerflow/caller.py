"""What is DeerFlow's: its backend, from a checkout of its source, as it is there; and where its files are on the node."""

import importlib
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

SKILLS, LARK, CATEGORIES = "/mnt/skills", "/mnt/integrations/lark-cli", ("public", "custom", "legacy", "integrations")
THREAD = "t1"  # of every user
OLD_USER = "bob"  # with old skills; came before Lark was installed
GATEWAY = "http://127.0.0.1:8155/{namespace}/{sandbox_id}/{token}"  # the URLs of the layout "gateway"


class Checkout:
    """What a gateway has for a provisioner. Nothing but `requests` need be installed."""

    def __init__(self, folder: str):
        self._root = Path(folder, "backend/packages/harness/deerflow")
        self.forgotten: list[tuple] = []  # for each time that the backend drops what it knew of our capabilities
        for name in ("", ".community", ".community.aio_sandbox", ".integrations", ".runtime", ".skills"):
            self._register(name)
        # What it takes from the rest of the gateway: whether a user has old skills, and a cache.
        self._register(".skills.storage", user_should_see_legacy_skills=lambda user: user == OLD_USER)
        self._register(
            ".integrations.lark_cli",
            PROVISIONER_CAPABILITY_REFRESH_HEADER="X-DeerFlow-Capability-Refresh",
            PROVISIONER_CAPABILITY_REFRESH_LARK_BROKER="lark-broker",
            invalidate_cached_lark_broker_mode=lambda *place: self.forgotten.append(place),
        )
        sys.modules["httpx"] = types.ModuleType("httpx")  # for another way to wait, which is not taken here
        remote = importlib.import_module("deerflow.community.aio_sandbox.remote_backend")
        self.Backend, self.Info, self.select_mounts = remote.RemoteSandboxBackend, remote.SandboxInfo, remote._provisioner_extra_mounts_payload
        self.wait_until_ready = sys.modules[remote.SandboxBackend.__module__].wait_for_sandbox_ready
        self.is_new = hasattr(self.Backend, "is_absent")  # of September 2026 or later: counts shells, asks for presence

    def _register(self, name: str, **names) -> None:
        """A package whose `__init__` does not run: it would import the whole agent. The modules in it are the checkout's."""
        module = sys.modules[f"deerflow{name}"] = types.ModuleType(f"deerflow{name}")
        module.__dict__.update(names, __path__=[str(self._root.joinpath(*name.split(".")[1:]))])


@dataclass
class Layout:
    """A way to say where the files are: settings, and the folders of the node that they mean."""
    settings: dict[str, str]
    state: Path  # the gateway's state on the node
    home: str = ""  # how the gateway names it, if not so
    skills: str = ""  # the folder of all skills; none: they are the users' projections in the state
    threads: Path | None = None  # the folder of all threads, whosever they are; None: the users' in the state
    claims: dict[str, Path] = field(default_factory=dict)

    def on_node(self, host_path: str) -> Path:
        return self.state / Path(host_path).relative_to(self.home or self.state)

    def list_mounts(self, user: str) -> list[tuple[str, str, bool]]:
        """What the gateway's provider hands to its backend, in its order: host path, container path, whether it is read-only."""
        home, has_runtime = self.home or self.state, user != OLD_USER
        data, view, lark = (f"{home}/users/{user}/{name}" for name in (f"threads/{THREAD}", "skills_view", "integrations/lark-cli"))
        return [
            *((f"{data}/user-data/{name}", f"/mnt/user-data/{name}", False) for name in ("workspace", "uploads", "outputs")),
            (f"{data}/acp-workspace", "/mnt/acp-workspace", True),
            (f"{home}/skills_view/public", f"{SKILLS}/public", True),
            *((f"{view}/{category}", f"{SKILLS}/{category}", True) for category in CATEGORIES[1:]),
            *((f"{lark}/{name}", f"{LARK}/{name}", name == "config") for name in ("config", "config/locks", "data")),
            *([(f"{home}/integrations/lark-cli/sandbox-cli", f"{LARK}/runtime", True)] if has_runtime else []),
        ]

    def expect_mounts(self, user: str, sent: list[dict]) -> dict[str, tuple[Path, bool]]:
        """Each mount that a sandbox must have: its folder on the node, and whether the sandbox may write there."""
        own, skills = self.state / "users" / user, Path(self.skills.format(user=user))
        folders = {name: skills / name for name in CATEGORIES if name != "legacy" or user == OLD_USER}
        if not self.skills:
            folders = {"public": self.state / "skills_view/public", **{name: own / "skills_view" / name for name in ("custom", "legacy")}}
        mounts = {f"{SKILLS}/{name}": (folder, False) for name, folder in folders.items()}
        mounts["/mnt/user-data"] = ((self.threads or own / "threads") / THREAD / "user-data", True)
        return mounts | {one["container_path"]: (self.on_node(one["host_path"]), not one["read_only"]) for one in sent}


def describe_layouts(root: Path) -> dict[str, Layout]:
    state, skills, claim = root / "state", root / "skills", root / "claim"
    home, base, threads = "/app/backend/.deer-flow", {"DEER_FLOW_HOST_BASE_DIR": f"{state}"}, {"THREADS_HOST_PATH": f"{state}/threads"}
    chart = {"DEER_FLOW_HOST_BASE_DIR": home, "USERDATA_PVC_NAME": "home", "SKILLS_PVC_NAME": "skills"}
    template, claims = {"SKILLS_PVC_SUBPATH_TEMPLATE": "of/{user_id}"}, {"home": claim, "skills": skills}
    return {
        "folder": Layout({"SKILLS_HOST_PATH": f"{skills}", **threads}, state, skills=f"{skills}", threads=state / "threads"),
        "users": Layout(base, state),
        "threads": Layout({**base, **threads, "USER_DATA_LAYOUT": "threads"}, state, threads=state / "threads"),
        "claims": Layout({**chart, **template}, claim / "deer-flow", home, f"{skills}/of/{{user}}", claims=claims),
        "cluster-ip": Layout({**base, "SANDBOX_SERVICE_TYPE": "ClusterIP"}, state),
        "gateway": Layout({**base, "SANDBOX_SERVICE_TYPE": "Headless", "SANDBOX_URL_TEMPLATE": GATEWAY, "SANDBOX_URL_KEY": "k" * 64}, state),
    }
