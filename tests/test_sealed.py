"What is no sealed file, and what may not go into one"
import pytest
from siamese_nb.nets.sealed import read_json, read_sealed, save_sealed

NESTED = b'['*100_000

@pytest.mark.parametrize('content', [b'\xff'*4, len(NESTED).to_bytes(8, 'little')+NESTED])
def test_no_safetensors_file(tmp_path, content):
    (tmp_path/'x.safetensors').write_bytes(content)
    with pytest.raises(ValueError, match='truncated or no safetensors file') as e: read_sealed(tmp_path/'x.safetensors', 'demo')
    assert '\n' not in str(e.value)

def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match='not a regular file'): read_sealed(tmp_path, 'demo')

def test_facts_are_json(tmp_path):
    with pytest.raises(ValueError, match='cannot be written'): save_sealed(tmp_path/'x.safetensors', {}, dict(x=float('nan')), 'demo')
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('text', ['NaN', '1e999', '{"a":[Infinity]}'])
def test_numbers_that_json_has_not(text):
    with pytest.raises(ValueError): read_json(text)
