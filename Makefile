# Two commands: `make book` builds the site, `make test` tests everything.
# Everything else: `make help`.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.installed
PORT ?= 8000

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## list the targets, one line each
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

book: $(STAMP)  ## execute every chapter that has changed and build the site
	@$(BIN)/python -m book_tools.site.build

test: $(STAMP)  ## unit tests, doctests and every notebook's outputs
	@$(BIN)/python -m pytest

lint: $(STAMP)  ## style, types, direction of imports, spelling; notebooks too
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/python -m book_tools.lint_notebooks

test-site: book  ## open every page of the site in headless Chromium
	@$(BIN)/python -m book_tools.site.check _build/html

lab: $(STAMP)  ## open the chapters in JupyterLab
	@$(BIN)/jupyter lab chapters

serve: book  ## show the built site on this machine (PORT=8000)
	@echo "http://127.0.0.1:$(PORT)/  (stop with Ctrl-C)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

refresh: $(STAMP)  ## execute the chapters and store their outputs
	@$(BIN)/python -m book_tools.refresh

formulas: $(STAMP)  ## write FORMULAS.md and the site's index of formulas
	@$(BIN)/python -m book_tools.formulas

bench: $(STAMP)  ## time the package against its peers, as ratios
	@$(BIN)/python -m benchmarks

portability: $(STAMP)  ## test the notebooks under other threads and instruction sets
	@$(BIN)/python -m book_tools.portability

mutants: $(STAMP)  ## break each formula; a test and a cell must notice (half an hour)
	@$(BIN)/python -m book_tools.mutants

retrain: $(STAMP)  ## train every checkpoint again (about an hour; resumes)
	@$(BIN)/python -m experiments.retrain

results: result-roofline result-granularity result-integer result-ptq result-qat result-distillation result-mnist result-relations result-sparsity result-stability result-narrowing result-merging result-decay  ## measure all of data/results again (ten hours)

result-roofline: $(STAMP)  ## chapter 01: this machine's roofline (a minute)
	@$(BIN)/python -m experiments.roofline

result-granularity: $(STAMP)  ## chapter 03: accuracy by bits and granularity (ten minutes)
	@$(BIN)/python -m experiments.granularity

result-integer: $(STAMP)  ## chapter 04: times of layers in integers (two minutes)
	@$(BIN)/python -m benchmarks.integer

result-ptq: $(STAMP)  ## chapter 06: post-training quantization (an hour; resumes)
	@$(call anew,ptq,experiments.ptq)

result-qat: $(STAMP)  ## chapter 07: quantization-aware training (three hours; resumes)
	@$(call anew,qat,experiments.qat)

result-distillation: $(STAMP)  ## chapter 09: students alone and distilled (two hours; resumes)
	@$(call anew,distillation,experiments.distillation)

result-mnist: $(STAMP)  ## chapter 09: a digit omitted (MNIST=folder; ten minutes)
	@$(BIN)/python -m experiments.mnist $(MNIST)

result-relations: $(STAMP)  ## chapter 10: methods of distillation compared (an hour; resumes)
	@$(call anew,relations,experiments.relations)

result-sparsity: $(STAMP)  ## chapter 11: networks with zeros (75 minutes; resumes; MNIST=folder)
	@$(call anew,sparsity,experiments.sparsity $(if $(MNIST),--mnist $(MNIST)))

result-stability: $(STAMP)  ## chapter 13: pruning by stability under shifts (half an hour; resumes)
	@$(call anew,stability,experiments.stability)

result-narrowing: $(STAMP)  ## chapter 14: the teacher made smaller (twenty minutes; resumes)
	@$(call anew,narrowing,experiments.narrowing)

result-merging: $(STAMP)  ## chapter 15: units merged (a quarter of an hour; resumes)
	@$(call anew,merging,experiments.merging)

result-decay: $(STAMP)  ## chapter 15: does weight decay help pruning (twenty minutes; resumes)
	@$(call anew,decay,experiments.decay)

# These commands skip what their record holds: a new one grows beside it and takes its place at the end.
anew = mkdir -p _build/results && \
  $(BIN)/python -m $(2) --path _build/results/$(1).json && \
  mv _build/results/$(1).json data/results/$(1).json

lock:  ## compile requirements.lock from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make: uv is needed to compile the lock: pip install uv" >&2; exit 1; }
	@uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --all-extras \
	  --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	  --output-file requirements.lock

env: $(STAMP)  ## create the environment and nothing else

clean:  ## remove the built site and its cache; the environment stays
	@rm -rf _build

$(STAMP): requirements.lock pyproject.toml book_tools/environment.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" BIN="$(BIN)" bash book_tools/environment.sh

.NOTPARALLEL:  # timings

.PHONY: help book test lint test-site lab serve refresh formulas bench portability mutants retrain results \
  result-roofline result-granularity result-integer result-ptq result-qat result-distillation result-mnist \
  result-relations result-sparsity result-stability result-narrowing result-merging \
  result-decay lock env clean
