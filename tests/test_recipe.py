"Recipe files that somebody else has written, or damaged"
import pytest
from siamese_nb.training.recipe import read_recipe

@pytest.mark.parametrize('text', ['{"preset":["known"]}', '{"preset":{}}', '['*100_000, '[1]', '\xff\xfe', '', '{"epochs":"many"}', '{"lr":NaN}', '{"margin":1e999}', '{"views":5}',
                                  '{"views":[["squash"]]}', '{"heads":true}', '{"name":""}', '{"x\\u001b[2J":1}', '{"keep":["best"]}'])
def test_one_line(tmp_path, text):
    (tmp_path/'r.json').write_bytes(text.encode('latin-1'))
    with pytest.raises(ValueError) as e: read_recipe(tmp_path/'r.json')
    assert str(e.value).isprintable() and len(str(e.value))<600
