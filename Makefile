# Everything a reader or a contributor types. `make run` and `make test` need nothing but Python 3.10+ and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
ROOT   ?=
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run test lab caltech101 docs export outputs readme bench install clean
.DEFAULT_GOAL := run

run: install ## train and evaluate on scikit-learn's digits
	siamese_run digits

test: install ## every check there is; ends with `N passed, M failed`
	@python tools/test.py

lab: install ## JupyterLab on the notebooks
	jupyter lab --config tools/jupyter_server_config.py

caltech101: install ## the real thing; `make caltech101 ROOT=dir` to use or make a copy there
	siamese_run caltech101 $(if $(ROOT),--root "$(ROOT)")

docs: install ## the site, in _docs
	python tools/docs.py

export: install ## notebooks -> package
	nbdev_export
	nbdev_clean

outputs: install ## run all notebooks in a real kernel and store what they show
	python tools/run_nbs.py --write --flags caltech
	nbdev_clean
	python tools/readme.py

readme: install ## index notebook -> README.md
	python tools/readme.py

bench: install ## side-by-side measurements -> graphs/bench
	python benchmarks/bench.py

install: $(VENV)/.installed

$(VENV)/.installed: settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3,10) and "siamese_nb needs Python 3.10 or newer, this is %s: try `make PYTHON=python3.12`" % sys.version.split()[0])'
ifdef UV
	uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	uv pip install --quiet --python $(BIN)/python -e '.[dev]'
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
endif
	@touch $@

clean: ## remove what can be made again
	rm -rf _docs _proc build dist *.egg-info .pytest_cache .ruff_cache
