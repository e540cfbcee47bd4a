"""Puts libqestrel_plugin.so into the wheel: the one that QESTREL_PLUGIN names, else one built from this source tree."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build(folder: str) -> str:
    """The library, built with CMake into a folder of its own."""
    if not (ROOT / "CMakeLists.txt").is_file():
        raise RuntimeError("Qestrel's sources are not here: name a built libqestrel_plugin.so in QESTREL_PLUGIN")
    configure = ["cmake", "-S", str(ROOT), "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"]
    compile_ = ["cmake", "--build", folder, "--target", "qestrel_plugin", "--parallel", str(os.cpu_count() or 1)]
    for command in (configure, compile_):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed (tests/packages.sh lists what is needed):\n{done.stdout}")
    return os.path.join(folder, "libqestrel_plugin.so")


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling around the making of a wheel."""

    def initialize(self, version, build_data):
        self.folder = tempfile.mkdtemp(prefix="qestrel-")
        library = os.environ.get("QESTREL_PLUGIN") or build(self.folder)
        build_data["force_include"][library] = "qestrel_ctranslate2/libqestrel_plugin.so"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version, build_data, artifact_path):
        shutil.rmtree(self.folder, ignore_errors=True)
