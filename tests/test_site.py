"The site: what is done to its pages and styles after they are rendered, by `make docs` and by Quarto's own call."
import shutil,subprocess,sys
from pathlib import Path
import numpy as np
import pytest

root = Path(__file__).parents[1]
pytest.importorskip('nbconvert')
sys.path.append(str(root/'tools'))
import docs  # noqa: E402

def test_fonts_go_and_the_first_rule_stays():
    rule = ':root{--bs-blue:#2780e3}'
    for address in ('url(https://fonts.googleapis.com/css2?family=A:wght@300;400;700&display=swap)', '"https://fonts.googleapis.com/css2?family=A:wght@300;700"'):
        assert docs.no_fonts(f'@import{" " if address[0]=="u" else ""}{address};{rule}')==rule
    assert docs.no_fonts('@import url(own.css);'+rule)=='@import url(own.css);'+rule

def test_code_words_lead_to_an_entry_or_nowhere(tmp_path):
    page,other = (tmp_path/'a.html').resolve(),(tmp_path/'b.html').resolve()
    ids = {page:{'the-collapse-line'}, other:{'fit'}}
    there = '<a href="b.html#fit"><code>fit</code></a>'
    assert docs.anchored(there, page, ids, {})==there
    assert docs.anchored('<a href="b.html#tune"><code>tune</code></a>', page, ids, {})=='<a href="b.html"><code>tune</code></a>'
    assert docs.anchored('<a href="a.html#tune"><code>tune</code></a>', page, ids, {})=='<code>tune</code>'
    assert docs.anchored('<a href="#The-collapse-line">x</a>', page, ids, {})=='<a href="#the-collapse-line">x</a>'
    lost = '<a href="b.html#lost">prose</a>' # is for the link check to find
    assert docs.anchored(lost, page, ids, {})==lost

def test_quarto_calls_us():
    project = docs.yaml.safe_load((root/'nbs/_quarto.yml').read_text(encoding='utf-8'))['project']
    assert [project[k].split()[1:] for k in ('pre-render', 'post-render')]==[['../tools/docs.py', k] for k in ('before', 'after')]

def test_readme_survives_quarto(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, 'proc', tmp_path)
    readme = tmp_path/'_docs/README.md'
    readme.parent.mkdir()
    readme.write_text('links that are wrong from the root')
    docs.hook('after', {'QUARTO_PROJECT_OUTPUT_FILES':'_docs/README.md'})
    assert readme.read_text(encoding='utf-8')==(root/'README.md').read_text(encoding='utf-8')

def test_a_page_of_the_root_links_into_the_book(tmp_path, monkeypatch):
    monkeypatch.setattr(docs, 'proc', tmp_path)
    (tmp_path/'design.md').touch()
    assert docs.retarget('nbs/design.md', {})=='design.md'

def test_nothing_names_a_link_that_leads_nowhere():
    link = lambda text: docs.unlinked(docs.re.fullmatch('<a>(.*)</a>', f'<a>{text}</a>'))
    assert [link(o) for o in ('source', '<i class="bi"></i> GitHub', 'the <b>code</b>')]==['', '', 'the <b>code</b>']

def test_no_pipe_inside_a_code_span():
    import api_entry
    assert api_entry.code('float|None')==r'`float` \| `None`'
    assert [api_entry.code(o) for o in ('int', '', 'a|b|c')]==['`int`', '', r'`a` \| `b` \| `c`']

def test_every_notebook_says_where_it_stands():
    "Its part of the book, and the notebooks before and after: as `python tools/nav.py` writes them, in the order of the sidebar"
    import json,nav
    for _,chapters in nav.parts():
        for _,href in chapters:
            if href=='index.ipynb': continue
            cells = json.loads((root/'nbs'/href).read_text(encoding='utf-8'))['cells']
            assert [''.join(c['source']) for c in cells if c['id'].startswith('where-')]==[nav.where(href)], href
    listed = {href for _,chapters in nav.parts() for _,href in chapters}|{'index.ipynb'}
    assert {o.relative_to(root/'nbs').as_posix() for o in (root/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts}==listed

def test_a_heading_leaves_its_id_to_the_entry():
    "`fit.html#fit` is the function, wherever the link comes from; prose that means the heading finds it"
    cells = [dict(cell_type='markdown', source=['# Fit\n', 'What does #fit mean?\n']), dict(cell_type='code', source=['#| echo: false\n', 'show_doc(fit)']),
             dict(cell_type='markdown', source=['## Fitter\n', '### `fit`'])]
    docs.make_room(cells)
    heads = [o for c in cells if c['cell_type']=='markdown' for o in ''.join(c['source']).splitlines()]
    assert heads==['# Fit {#about-fit}', 'What does #fit mean?', '## Fitter', '### `fit` {#about-fit}']
    page = (root/'fit.html').resolve()
    ids = {page:{'fit', 'about-fit'}}
    assert docs.anchored('<a href="#Fit">prose</a>', page, ids, {})=='<a href="#about-fit">prose</a>'
    assert docs.anchored('<a href="#fit"><code>fit</code></a>', page, ids, {})=='<a href="#fit"><code>fit</code></a>'

def test_a_capital_tells_a_class_from_a_function():
    page = (root/'explain.html').resolve()
    h = ''.join(f'<h3 id="{i}" class="anchored" data-anchor-id="{i}">{n}</h3>' for n,i in (('Why', 'why'), ('why', 'why-1')))
    link = lambda name: docs.anchored(f'<a href="explain.html#why"><code>{name}</code></a>', page, {page:{'why', 'why-1'}}, {page:docs.entries(h)})
    assert ['#why-1"' in link('why'), '#why"' in link('Why'), '#why-1"' in link('why()')]==[True]*3

def test_every_page_has_a_card(tmp_path):
    import base64,io,json
    import cards
    from PIL import Image
    def png(w, h):
        out = io.BytesIO()
        Image.new('RGB', (w, h), 'red').save(out, 'png')
        return dict(output_type='display_data', data={'image/png':base64.b64encode(out.getvalue()).decode()})
    head = ['---\n', 'description: "What *same* means, said in [so many](a.html) words"\n', 'title: Same\n', '---\n']
    nb = lambda *pictures: dict(cells=[dict(cell_type='raw', source=head), dict(cell_type='code', source=[], outputs=list(pictures))])
    (tmp_path/'further').mkdir()
    for name,o in (('further/a', nb(png(900, 90), png(300, 200))), ('b', nb())): (tmp_path/f'{name}.ipynb').write_text(json.dumps(o))
    (tmp_path/'c.md').write_text('# Title\n\nA first `word`: and more.\n')
    for name in ('further/a.ipynb', 'b.ipynb', 'c.md'): cards.add_card(tmp_path/name, tmp_path)
    front = {n:cards.front_matter(json.loads((tmp_path/f'{n}.ipynb').read_text())['cells'][0]['source'])[0] for n in ('further/a', 'b')}
    assert front['further/a']==dict(description='What same means, said in so many words', title='Same', image='/images/cards/further-a.png')
    assert front['b']['image']=='/images/card.png'
    assert cards.front_matter((tmp_path/'c.md').read_text())[0]==dict(description='A first word', image='/images/card.png')
    with Image.open(tmp_path/'images/cards/further-a.png') as card:
        assert card.size==(1200, 630)
        red = (np.asarray(card.convert('RGB'))==(255, 0, 0)).all(-1).sum()
    assert red>60_000 # the figure that is no strip, large

def test_the_address_is_one_setting(monkeypatch):
    "While it is a placeholder nothing links to it; once it is set, `python tools/nav.py` writes it wherever it is needed"
    import nav,readme as tool
    from types import SimpleNamespace as Setting
    new = Setting(git_url='https://github.com/me/mine', branch='dev', nbs_path=nav.cfg.nbs_path, doc_host='https://me.github.io', doc_baseurl='/mine')
    text = (root/'nbs/_quarto.yml').read_text(encoding='utf-8')+''.join(o.read_text(encoding='utf-8') for o in (root/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts)
    old = nav.cfg.git_url.removeprefix('https://github.com/')
    assert nav.addressed(text)==text and old in text
    monkeypatch.setattr(nav, 'cfg', new)
    assert old not in nav.addressed(text) and 'https://raw.githubusercontent.com/me/mine/dev/graphs' in nav.addressed(text)
    assert 'github/me/mine/blob/dev/nbs/story.ipynb' in nav.badges('story.ipynb')
    words = 'as [`fit`](https://me.github.io/mine/fit.html#fit) does, and [this](nbs/story.ipynb)'
    assert tool.unplaced(words, new)==words
    new.git_url = 'https://github.com/example/mine'
    assert tool.unplaced(words, new)=='as `fit` does, and [this](nbs/story.ipynb)'
    assert 'example.github.io' not in (root/'README.md').read_text(encoding='utf-8')

def test_a_checkout_below_a_hidden_folder_is_named(tmp_path):
    "nbdev finds no notebook there: one line, no traceback"
    here = tmp_path/'.hidden'/'project'
    here.mkdir(parents=True)
    shutil.copy(root/'settings.ini', here)
    for name in ('tools', 'nbs'): shutil.copytree(root/name, here/name, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', '*.png'))
    r = subprocess.run([sys.executable, 'tools/docs.py'], cwd=here, capture_output=True, text=True)
    assert r.returncode and r.stderr.count('\n')==1 and 'begins with a dot' in r.stderr and 'move the checkout' in r.stderr, r.stderr[-2000:]
