"""Run notebooks and store what they print: `python tests/notebooks/write.py notebooks/*.ipynb`.

The same way nbval checks them: deterministic, in a fresh copy of the folder, with a new kernel after a cell tagged `kernel-dies`.
Execution counts, widget state and metadata of a run are left out.
"""
from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import start_new_kernel
from nbformat.v4 import output_from_msg

DIES = "kernel-dies"


def run(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(path.parent, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.db*", ".ipynb_checkpoints"))
        env = {**os.environ, "AIONLAB_DETERMINISTIC": "1", "COLUMNS": "80"}
        manager, client = start_new_kernel(kernel_name="python3", cwd=folder, env=env)
        try:
            for cell in notebook.cells:
                if cell.cell_type != "code":
                    continue
                cell.execution_count = None
                if DIES in cell.metadata.get("tags", []):
                    client.execute(cell.source, store_history=True)
                    while manager.is_alive():
                        pass
                    client.stop_channels()
                    manager.cleanup_resources()
                    manager, client = start_new_kernel(kernel_name="python3", cwd=folder, env=env)
                    cell.outputs = []
                else:
                    cell.outputs = _outputs(client, cell)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)


def _outputs(client: Any, cell: Any) -> list[Any]:
    outputs: list[Any] = []
    shown: dict[str, Any] = {}

    def take(message: Any) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "update_display_data":
            target = shown.get(content["transient"]["display_id"])
            if target is not None:
                target["data"], target["metadata"] = content["data"], content["metadata"]
        elif kind == "clear_output":
            outputs.clear()
        elif kind in ("execute_result", "display_data", "stream", "error"):
            output = output_from_msg(message)
            if "execution_count" in output:
                output["execution_count"] = None
            if kind == "stream" and outputs and outputs[-1].get("name") == output["name"]:
                outputs[-1]["text"] += output["text"]
                return
            display_id = content.get("transient", {}).get("display_id")
            if display_id:
                shown[display_id] = output
            outputs.append(output)

    reply = client.execute_interactive(cell.source, store_history=True, output_hook=take, timeout=120)
    if reply["content"]["status"] == "error" and "raises-exception" not in cell.metadata.get("tags", []):
        raise SystemExit("\n".join(reply["content"].get("traceback") or [reply["content"]["evalue"]]))
    return outputs


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(Path(name))
        print(name)
