"""A Siamese network for image similarity: is this the same kind of thing, and how sure are we?

The front door:
    from siamese_nb import fit, load, Items, Recipe
    model = fit('my_photos')              # a folder with one sub-folder per class
    model.compare('a.jpg', 'b.jpg')       # same or different, how far apart, how sure
    model.search('a.jpg', 'folder', k=5)  # what else looks like this
    model.calibrate('own_examples')       # a threshold and an error rate for your own pictures
    model.save('weights/my_photos')
    model.push('user/name')               # to the Hugging Face Hub; load('hf://user/name') brings it back
    load()                                # the general model inside this package

The rooms behind it:
    core, plots, notebook                      names, errors, whole files; figures; cells that need Caltech-101
    data_split, pairs, model, loss, train, eval the six notebooks of the course
    data                                       folders, tables, pictures, copies, batches
    nets                                       backbones, heads, features, the model file
    training                                   recipes, the loop, fine-tuning, new classes
    evaluation                                 thresholds, intervals, retrieval, one `Evaluation`
    apps                                       compare, search, identify, calibrate, explain, export, audit, hub, demo, tables of vectors, cluster
    report, run, cli                           pictures and page of a run; data in, files out; the commands
"""
__version__ = "0.1.0"

_where = {'fit':'front_door', 'load':'apps.hub', 'Items':'data_split', 'Recipe':'training.recipe', 'siamese_run':'run'}
__all__ = list(_where)

def __getattr__(name):
    if name not in _where: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    return getattr(import_module(f'{__name__}.{_where[name]}'), name)

def __dir__(): return sorted([*_where, '__version__'])
