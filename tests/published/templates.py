"""Published chat templates: what this repository renders with them, beside transformers.

    python tests/published/templates.py [--cargo COMMAND]

Needs transformers and jinja2; takes the templates out of llama-cpp-python's source package, as vocabularies.py does. Writes
~/.cache/headwater/published/templates.jsonl, {name, template, messages, rendered or refused}, and runs engine's ignored test:

    HEADWATER_PUBLISHED=~/.cache/headwater/published cargo test -p engine --lib published_templates -- --ignored --nocapture

The clock is stopped where ours stands: on 26 July 2024, at noon.
"""

import argparse
import datetime
import glob
import json
import os
import shlex
import subprocess
import sys
import tarfile

from transformers.utils import chat_template_utils
from vocabularies import CACHE, ROOT, vocabularies

say = lambda role, content: {"role": role, "content": content}
CONVERSATIONS = [
    [say("user", "Who is paid, and when?")],
    [say("system", "Be brief."), say("user", "Who is paid?")],
    [say("user", "Hi"), say("assistant", "Hello."), say("user", "Why?\nSay more.")],
    [say("system", "Be brief."), say("user", "Hi"), say("assistant", "Hello!"), say("user", "And?"), say("assistant", "So."), say("user", "<b>'x' & \"y\"</b>")],
]


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 12, 0, 0, tzinfo=tz)


def templates():
    folder = CACHE / "templates"
    if not folder.exists():
        vocabularies()
        folder.mkdir()
        with tarfile.open(glob.glob(str(CACHE / "llama_cpp_python-*.tar.gz"))[0]) as archive:
            for member in archive.getmembers():
                if "/llama.cpp/models/templates/" in member.name and member.name.endswith(".jinja"):
                    (folder / member.name.rsplit("/", 1)[1]).write_bytes(archive.extractfile(member).read())
    return sorted(folder.glob("*.jinja"))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cargo", default="cargo")
    arguments = arguments.parse_args()
    chat_template_utils.datetime = Clock
    with open(CACHE / "templates.jsonl", "w", encoding="utf-8") as out:
        for path in templates():
            template = path.read_text(encoding="utf-8")
            for messages in CONVERSATIONS:
                case = {"name": path.stem, "template": template, "messages": messages}
                try:
                    rendered, _ = chat_template_utils.render_jinja_template([messages], chat_template=template, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
                    case["rendered"] = rendered[0]
                except Exception as refusal:
                    case["refused"] = str(refusal)
                out.write(json.dumps(case) + "\n")
    command = [*shlex.split(arguments.cargo), "test", "-p", "engine", "--lib", "published_templates", "--", "--ignored", "--nocapture"]
    sys.exit(subprocess.run(command, cwd=ROOT, env=os.environ | {"HEADWATER_PUBLISHED": str(CACHE)}).returncode)


if __name__ == "__main__":
    main()
