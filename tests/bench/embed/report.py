"""Parts of BENCHMARKS.md that a script owns: what lies between its two markers."""

import pathlib


def write_section(path, marker, text):
    """Replaces the section; adds it at the end where there is none."""
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    path = pathlib.Path(path)
    whole = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    if begin not in whole:
        whole += f"\n{begin}\n{end}\n"
    head, rest = whole.split(begin, 1)
    path.write_text(f"{head}{begin}\n{text.strip()}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")
