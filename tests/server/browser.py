"""Looking at pages in headless Chromium: each in a frame of its own width, judged by axe-core, all in one start of the browser."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions")

_JUDGE = """
const frames = [...document.querySelectorAll("iframe")];
const found = {};
const ready = frame => new Promise(done => { if (frame.contentDocument.readyState === "complete" && frame.contentWindow.axe) done(); else frame.addEventListener("load", () => done(), {once: true}); });
(async () => {
  for (const frame of frames) {
    await ready(frame);
    const inside = frame.contentWindow, root = frame.contentDocument.documentElement;
    const result = JUDGING ? await inside.axe.run(frame.contentDocument, {iframes: false, resultTypes: ["violations"]}) : {violations: [], passes: []};
    found[frame.title] = {
      violations: result.violations.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(" | ")),
      clipped: [...root.querySelectorAll("svg.chart text")].filter(text => {
        const own = text.getBoundingClientRect(), box = text.closest("svg").getBoundingClientRect();
        return own.width > 0 && (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1);
      }).map(text => text.textContent).concat([...root.querySelectorAll("figcaption *, h1, h2, h3")].filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0).map(one => one.textContent)),
      texts: [...root.querySelectorAll("svg.chart text")].filter(text => text.getBoundingClientRect().width > 0).length,
      passes: result.passes.length, width: root.clientWidth, scroll: root.scrollWidth, dark: inside.matchMedia("(prefers-color-scheme: dark)").matches,
    };
  }
  const out = document.createElement("pre"); out.id = "found"; out.textContent = JSON.stringify(found); document.body.append(out);
})();
"""


def judged(pages: Mapping[str, str], *, axe: str, folder: Path, width: int, dark: bool = False, judging: bool = True) -> dict[str, dict[str, Any]]:
    """Each page's violations (axe-core, unless not `judging`), checks passed, texts of charts that are cut, and how wide its content is in a frame of that width."""
    folder.mkdir(parents=True, exist_ok=True)
    script = "<script>" + axe.replace("</script", "<\\/script") + "</script>"
    frames = "".join(f'<iframe title="{html.escape(name)}" style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(_with(page, script), quote=True)}"></iframe>' for name, page in pages.items())
    judge = _JUDGE.replace("JUDGING", "true" if judging else "false")
    sheet = folder / f"sheet-{width}-{'dark' if dark else 'light'}.html"
    sheet.write_text(f"<!doctype html><html lang=en><meta charset=utf-8><title>sheet</title><body>{frames}<script>{judge}</script></body></html>", encoding="utf-8")
    program = next(path for name in NAMES if (path := shutil.which(name)))
    colours = ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    command = [program, *FLAGS, *colours, f"--user-data-dir={folder / 'profile'}", f"--window-size={width + 40},1000", "--virtual-time-budget=60000", "--dump-dom", sheet.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    start = done.stdout.find('<pre id="found">')
    if start < 0:
        raise RuntimeError(f"the browser gave no verdict: {done.stderr[-500:]}")
    text = done.stdout[start + len('<pre id="found">') : done.stdout.index("</pre>", start)]
    verdict: dict[str, dict[str, Any]] = json.loads(html.unescape(text))
    return verdict


def _with(page: str, script: str) -> str:
    return page.replace("</body>", f"{script}</body>")
