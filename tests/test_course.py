"The seven notebooks of the course are short, and nothing in them is hidden; no notebook has long lines of code."
import json,re
from pathlib import Path
import pytest

nbs = Path(__file__).parents[1]/'nbs'
COURSE = ['story', '00_data_split', '01_pairs', '02_model', '03_loss', '04_train', '05_eval']
CELLS,WORDS,WIDTH = 60,1200,100 # most cells, words of prose, characters of a line of code

def cells(name): return json.loads((nbs/f'{name}.ipynb').read_text(encoding='utf-8'))['cells']
def sources(name, kind): return [''.join(c['source']) for c in cells(name) if c['cell_type']==kind]

def words(text): # code, formulas and addresses are no prose
    prose = re.sub(r'```.*?```|\]\([^)]*\)|<[^>]+>|\$[^$]*\$', '', text, flags=re.S)
    return len(re.findall(r"[A-Za-z][\w'-]*", prose))

def test_words_are_counted():
    assert words('A *hard* [negative](02_model.ipynb), $d < 1$, isn\'t `x`.')==5

@pytest.mark.parametrize('name', COURSE)
def test_one_sitting(name):
    assert len(cells(name))<=CELLS
    assert words(' '.join(sources(name, 'markdown')))<=WORDS

NOTEBOOKS = sorted(p.relative_to(nbs).with_suffix('').as_posix() for p in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)

@pytest.mark.parametrize('name', NOTEBOOKS)
def test_no_line_is_too_wide(name):
    lines = [l for s in sources(name, 'code') for l in s.split('\n') if not l.startswith('#| fig-alt')] # Quarto wants those on one line
    assert not [l for l in lines if len(l)>WIDTH]

def test_every_notebook_is_measured():
    assert set(COURSE)<set(NOTEBOOKS) and {o.split('/')[0] for o in NOTEBOOKS if '/' in o}=={'engineering', 'further'}

@pytest.mark.parametrize('name', COURSE)
def test_imports_are_seen_and_named(name):
    code = sources(name, 'code')
    assert not [s for s in code if re.search(r'^from siamese_nb\S* import \*', s, re.M)], 'import by name'
    hidden = [s for s in code if '#| hide' in s and re.search(r'^\s*(from|import) ', s, re.M)]
    assert not [s for s in hidden if "find_spec('siamese_nb')" not in s], 'an import that no reader sees'

@pytest.mark.parametrize('name', COURSE)
def test_aims_first(name):
    text = '\n'.join(sources(name, 'markdown')[:3])
    assert re.search(r'After this (notebook|page) you can', text) and re.search(r'skip', text)
