"""The tables of the report: a system a row, a workload a column."""


def decoding(labels, forms, key):
    """`forms`: {form: {system: {label: {wall, cpu}, memory}}}; `key` says which of the two is shown."""
    lines = ["| weights | system | " + " | ".join(labels) + " | MiB |", "|---|---|" + "--:|" * (len(labels) + 1)]
    for form, results in forms.items():
        for name, result in results.items():
            cells = [cell(results, name, label, key) for label in labels]
            bold = "**" if is_ours(name) else ""
            lines.append(f"| {form} | {bold}{name}{bold} | " + " | ".join(cells) + f" | {result['memory']:,} |")
    return lines


def cell(results, name, label, key):
    """A figure and, of ours, how many times the fastest peer's that is."""
    figure = results[name][label][key]
    text = f"{figure:,.1f}" if figure < 100 else f"{figure:,.0f}"
    peers = [other[label][key] for peer, other in results.items() if not is_ours(peer)]
    return f"{text} (**{figure / max(peers):.2f}**)" if is_ours(name) and peers else text


def is_ours(name):
    return name.startswith("headwater")


def scores(rows, key):
    """`rows`: (size, tokens of a source, {way: {wall, cpu, tokens}}); `key` says which of the two is shown."""
    lines = [
        "| model | tokens of a source | one by one | llama.cpp, one by one | together, full attention | together, sources as blocks |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for size, tokens, ways in rows:
        alone, peer = ways["alone"], ways["llama.cpp"]
        cells = [f"{way[key]:,.1f} ({way['tokens']:,} tokens)" for way in (alone, peer)]
        for way in (ways["full"], ways["blocks"]):
            times = f"**{alone[key] / way[key]:.1f}**, **{peer[key] / way[key]:.1f}**"
            cells.append(f"{way[key]:,.2f} ({way['tokens']:,} tokens; {times})")
        lines.append(f"| {size} | {tokens} | " + " | ".join(cells) + " |")
    return lines
