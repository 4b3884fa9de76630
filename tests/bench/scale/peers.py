"""Retrieval beside others, over what the benchmark of growth exported: texts, vectors, questions, and what Headwater took.

    peers.py FOLDER REPORT SIZE

FOLDER has vectors.f32 ([rows, 384], length 1), texts.txt (a line a row), questions.txt (a line each), questions.f32 and
headwater.json (milliseconds a question). Everybody searches the same rows for the same questions, one question at a time; faiss
flat is the truth of nearness. Writes a table into REPORT.
"""

import json
import pathlib
import shutil
import sys
import time

import faiss
import lancedb
import numpy
import pyarrow
import tantivy

DIMENSIONS = 384
WANTED = 20
THREADS = 2


def percentile(times, percent):
    times = sorted(times)
    return times[(len(times) - 1) * percent // 100]


def timed(questions, search):
    """Milliseconds of each question, and what was found; the first questions warm up."""
    for question in questions[:5]:
        search(question)
    times, found = [], []
    for question in questions:
        began = time.perf_counter()
        found.append(search(question))
        times.append((time.perf_counter() - began) * 1000)
    return times, found


def recall(found, truth):
    return sum(len(set(some) & set(true)) for some, true in zip(found, truth)) / sum(len(true) for true in truth)


def by_faiss(vectors, asked):
    faiss.omp_set_num_threads(THREADS)
    began = time.perf_counter()
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(vectors)
    built = time.perf_counter() - began
    times, found = timed(list(range(len(asked))), lambda at: index.search(asked[at : at + 1], WANTED)[1][0].tolist())
    return built, times, found


def by_lancedb(folder, vectors, texts, asked, questions):
    """Nearest by an index, and both retrievers fused by rank, as its documentation has it."""
    place = folder / "lancedb"
    shutil.rmtree(place, ignore_errors=True)
    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), DIMENSIONS)
    rows = pyarrow.table({"id": pyarrow.array(range(len(texts)), pyarrow.int64()), "vector": column, "text": texts})
    began = time.perf_counter()
    table = lancedb.connect(str(place)).create_table("chunks", rows)
    table.create_index(metric="cosine", index_type="IVF_HNSW_SQ")
    table.create_fts_index("text", use_tantivy=False)
    built = time.perf_counter() - began

    def nearest(at):
        return table.search(asked[at]).limit(WANTED).select(["id"]).to_arrow()["id"].to_pylist()

    def hybrid(at):
        query = table.search(query_type="hybrid").vector(asked[at]).text(questions[at])
        return query.limit(WANTED).select(["id"]).to_arrow()["id"].to_pylist()

    places = list(range(len(asked)))
    return built, timed(places, nearest), timed(places, hybrid)


def by_tantivy(texts, questions):
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", stored=True)
    builder.add_text_field("text", tokenizer_name="en_stem")
    began = time.perf_counter()
    index = tantivy.Index(builder.build())
    writer = index.writer(heap_size=128_000_000, num_threads=THREADS)
    for at, text in enumerate(texts):
        writer.add_document(tantivy.Document(id=at, text=text))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    built = time.perf_counter() - began
    searcher = index.searcher()

    def search(question):
        words = "".join(letter if letter.isalnum() else " " for letter in question)
        found = searcher.search(index.parse_query(words, ["text"]), WANTED).hits
        return [searcher.doc(address)["id"][0] for _, address in found]

    times, _ = timed(questions, search)
    return built, times


def main():
    folder, report, size = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    vectors = numpy.fromfile(folder / "vectors.f32", dtype="<f4").reshape(-1, DIMENSIONS)
    asked = numpy.fromfile(folder / "questions.f32", dtype="<f4").reshape(-1, DIMENSIONS)
    texts = (folder / "texts.txt").read_text().splitlines()
    questions = (folder / "questions.txt").read_text().splitlines()
    assert len(texts) == len(vectors) and len(questions) == len(asked)
    ours = json.loads((folder / "headwater.json").read_text())

    faiss_built, faiss_times, truth = by_faiss(vectors, asked)
    lance_built, (near_times, near), (hybrid_times, _) = by_lancedb(folder, vectors, texts, asked, questions)
    tantivy_built, tantivy_times = by_tantivy(texts, questions)
    rows = [
        ("headwater: exact vectors and BM25, fused, passages read", None, ours["retrieve_ms"], "1.000"),
        ("lancedb: IVF_HNSW_SQ and FTS, fused", lance_built, hybrid_times, ""),
        ("lancedb: IVF_HNSW_SQ alone", lance_built, near_times, f"{recall(near, truth):.3f}"),
        ("faiss: flat, vectors alone", faiss_built, faiss_times, "1.000"),
        ("tantivy: BM25 alone", tantivy_built, tantivy_times, ""),
    ]
    own = percentile(ours["retrieve_ms"], 50)
    table = f"{size} chunks, {len(questions)} questions, one at a time\n\n| | built, s | p50, ms | p99, ms | p50 ÷ headwater's | recall@20 |\n|---|--:|--:|--:|--:|--:|\n"
    for name, built, times, found in rows:
        middle = percentile(times, 50)
        shown = "above" if built is None else f"{built:.1f}"
        table += f"| {name} | {shown} | {middle:.2f} | {percentile(times, 99):.2f} | {middle / own:.2f} | {found} |\n"
    print(table)
    begin, end = "<!-- scale-peers: begin -->", "<!-- scale-peers: end -->"
    before, rest = report.read_text().split(begin)
    _, after = rest.split(end)
    report.write_text(f"{before}{begin}\n{table}{end}{after}")


main()
