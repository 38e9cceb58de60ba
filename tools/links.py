"Every relative link and picture in the notebooks and Markdown files, and in the built site, points at something that exists."
import html,json,re,sys
from urllib.parse import unquote
from nbdev.config import get_config

cfg = get_config()
root = cfg.config_path
_link = re.compile(r'(?<!\\)\]\(\s*<?([^)\s>]+)|(?:src|href)="([^"]+)"')
_outside = re.compile(r'(?:[a-z][a-z+.-]*:|//)', re.I)

def texts(f):
    "The prose of a notebook or a Markdown file, code left out"
    if f.suffix=='.md': return [re.sub(r'```.*?```|`[^`\n]*`', '', f.read_text(encoding='utf-8'), flags=re.S)]
    return [re.sub(r'```.*?```|`[^`\n]*`', '', ''.join(c['source']), flags=re.S) for c in json.loads(f.read_text(encoding='utf-8'))['cells'] if c['cell_type']=='markdown']

def slug(h): return re.sub(r'[^\w\- ]', '', re.sub(r'[`*]', '', h).strip().lower()).replace(' ', '-')

def broken(f):
    "Links of a notebook or Markdown file that lead nowhere"
    for t in texts(f):
        for m in _link.findall(t):
            url = m[0] or m[1]
            if _outside.match(url): continue
            path,_,frag = unquote(url).partition('#')
            to = (f.parent/path) if path else f
            if not to.exists(): yield url
            elif frag and to.suffix in ('.ipynb', '.md'):
                heads = {slug(h) for o in texts(to) for h in re.findall(r'^#+\s+(.*)$', o, re.M)}
                if slug(frag.replace('-', ' ')) not in heads: yield url

def attrs(page):
    "Ids of a page, and the addresses it names"
    found = re.findall(r'<[a-z][^<>]*?\s(id|href|src)="([^"]*)"(?:[^<>]*?\s(id|href|src)="([^"]*)")?', page)
    pairs = [o for m in found for o in (m[:2], m[2:]) if o[0]]
    return {v for k,v in pairs if k=='id'}, {html.unescape(v) for k,v in pairs if k!='id'}

def broken_site(site):
    "Links of the built site that lead nowhere, as `page: link`; links that start with its own address count as its own"
    home = f"{cfg.doc_host}{cfg.doc_baseurl}".rstrip('/')+'/'
    pages = {f.resolve():attrs(f.read_text(encoding='utf-8')) for f in sorted(site.rglob('*.html'))}
    bad = []
    for f,(_,urls) in pages.items():
        for url in sorted(urls):
            if url.startswith(home): at,own = site,url[len(home):]
            elif _outside.match(url): continue
            else: at,own = f.parent,url
            path,_,frag = own.partition('#')
            to = (at/unquote(path.partition('?')[0])).resolve() if path else f
            if to.is_dir(): to = to/'index.html'
            if not to.exists() or (frag and to in pages and frag not in pages[to][0] and unquote(frag) not in pages[to][0]): bad.append(f'{f.relative_to(site.resolve())}: {url}')
    return bad

if __name__=='__main__':
    nbs,site = cfg.nbs_path,cfg.doc_path
    files = [*sorted(o for o in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts), *sorted(nbs.glob('*.md')), *sorted(root.glob('*.md'))]
    bad = [f'{f.relative_to(root)}: {u}' for f in files for u in broken(f)]
    seen = f'{len(files)} files'
    if (site/'index.html').exists():
        if (site/'index.html').stat().st_mtime < max(f.stat().st_mtime for f in files): seen += f' ({site.name} is older than these, so it was left out)'
        else: bad,seen = bad+broken_site(site),f'{seen} and {site.name}'
    print('\n'.join(bad) or f'{seen}: every internal link resolves')
    sys.exit(bool(bad))
