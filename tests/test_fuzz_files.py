"Damaged and forged model files, checkpoints and caches: one line, never a signal, and no damage goes unnoticed (longer: `python tools/fuzz.py files --minutes 60`)"
import sys
from pathlib import Path

def test_damaged_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]/'tools'))
    import fuzz_files
    cases,file = fuzz_files.Cases(1),tmp_path/'case.bin'
    for i in range(400):
        name,data = cases(i)
        file.write_bytes(data)
        assert not fuzz_files.check(file, i), (i, name)
    sys.modules.pop('fuzz_files')
