"Recipe files that somebody else has written, or damaged"
import json
from dataclasses import replace
import pytest
from siamese_nb.training.recipe import KNOWN, NEW, from_dict, read_recipe, to_dict

@pytest.mark.parametrize('text', ['{"preset":["known"]}', '{"preset":{}}', '['*100_000, '[1]', '\xff\xfe', '', '{"epochs":"many"}', '{"lr":NaN}', '{"margin":1e999}', '{"views":5}',
                                  '{"views":[["squash"]]}', '{"heads":true}', '{"name":""}', '{"x\\u001b[2J":1}', '{"keep":["best"]}'])
def test_one_line(tmp_path, text):
    (tmp_path/'r.json').write_bytes(text.encode('latin-1'))
    with pytest.raises(ValueError) as e: read_recipe(tmp_path/'r.json')
    assert str(e.value).isprintable() and len(str(e.value))<600

def test_a_value_of_any_length_makes_a_short_line(tmp_path):
    "What a file holds is shown, but not all of it"
    from siamese_nb.data.tables import get_table
    long = 'x'*200_000
    for d in (dict(finetune=long), dict(preset=long), {long:1}, dict(views=[1]*9999), dict(heads=[long])):
        (tmp_path/'r.json').write_text(json.dumps(d))
        with pytest.raises(ValueError) as e: read_recipe(tmp_path/'r.json')
        assert len(str(e.value))<1500 and str(e.value).isprintable()
    (tmp_path/'a.png').write_bytes(b'')
    (tmp_path/'t.csv').write_text(f'path,label,split\na.png,a,{long[:9999]}\n')
    with pytest.raises(ValueError, match='split') as e: get_table(tmp_path/'t.csv')
    assert len(str(e.value))<1500

@pytest.mark.parametrize('change,said', [(dict(finetune='some'), 'it can be none, last, all'), (dict(dropout=1.), 'from 0 to 0.99'),
                                         (dict(heads=1.5), 'whole number'), (dict(heads=0), 'none is trained')])
def test_values_that_cannot_be(change, said):
    with pytest.raises(ValueError, match=said): replace(KNOWN, **change)

def test_there_and_back():
    assert from_dict(json.loads(json.dumps(to_dict(NEW))))==NEW
    with pytest.raises(ValueError, match='has no droput'): from_dict(dict(droput=.1))
    with pytest.raises(FileNotFoundError, match='no recipe at'): read_recipe('nowhere.json')

def test_a_number_has_one_form():
    "In JSON, from which a run has its name, 2 and 2.0 are two texts"
    texts = {json.dumps(to_dict(from_dict(dict(margin=v, epochs=2)))) for v in (2, 2.)}
    assert len(texts) == 1 and '"margin": 2.0' in (text := texts.pop()) and '"epochs": 2,' in text
