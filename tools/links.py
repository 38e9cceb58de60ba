"Every relative link and picture in the notebooks and Markdown files points at something that exists."
import json,re,sys
from pathlib import Path
from urllib.parse import unquote
from nbdev.config import get_config

root = get_config().config_path
_link = re.compile(r'(?<!\\)\]\(\s*<?([^)\s>]+)|(?:src|href)="([^"]+)"')

def texts(f):
    "The prose of a notebook or a Markdown file, code left out"
    if f.suffix=='.md': return [re.sub(r'```.*?```|`[^`\n]*`', '', f.read_text(encoding='utf-8'), flags=re.S)]
    return [re.sub(r'```.*?```|`[^`\n]*`', '', ''.join(c['source']), flags=re.S) for c in json.loads(f.read_text(encoding='utf-8'))['cells'] if c['cell_type']=='markdown']

def slug(h): return re.sub(r'[^\w\- ]', '', re.sub(r'[`*]', '', h).strip().lower()).replace(' ', '-')

def broken(f):
    "Links of `f` that lead nowhere"
    for t in texts(f):
        for m in _link.findall(t):
            url = m[0] or m[1]
            if re.match(r'(https?|mailto|data|attachment):', url): continue
            path,_,frag = unquote(url).partition('#')
            to = (f.parent/path) if path else f
            if not to.exists(): yield url
            elif frag and to.suffix in ('.ipynb', '.md'):
                heads = {slug(h) for o in texts(to) for h in re.findall(r'^#+\s+(.*)$', o, re.M)}
                if slug(frag.replace('-', ' ')) not in heads: yield url

if __name__=='__main__':
    files = [*sorted((root/'nbs').glob('*.ipynb')), *sorted(root.glob('*.md'))]
    bad = [f'{f.relative_to(root)}: {u}' for f in files for u in broken(f)]
    print('\n'.join(bad) or f'{len(files)} files, every internal link resolves')
    sys.exit(bool(bad))
