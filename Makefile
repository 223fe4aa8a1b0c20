# `make site` builds the site, `make book` executes the chapters too, `make test` tests everything.
# Everything else: `make help`.

VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.installed
INDEX := _build/html/index.html
PORT ?= 8000

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*### \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
	@echo
	@sed -n 's/^\([a-z%-]*\):.*[^#]## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

site: $(STAMP)  ### build the site from the stored outputs, executing nothing
	@$(BIN)/python -m book_tools.site.build --stored

serve: $(INDEX)  ### show the built site on this machine (PORT=8000)
	@echo "http://127.0.0.1:$(PORT)/  (stop with Ctrl-C)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

book: $(STAMP)  ### execute what has changed, and build the site
	@$(BIN)/python -m book_tools.site.build

test: $(STAMP)  ### unit tests, doctests and every notebook's outputs
	@$(BIN)/python -m pytest

lab: $(STAMP)  ### open your own copy of a chapter in JupyterLab (CHAPTER=02)
	@$(BIN)/python -m book_tools.editions.lab $(CHAPTER)

refresh: $(STAMP)  ### execute chapters and store their outputs (CHAPTER="02 08")
	@$(BIN)/python -m book_tools.refresh $(CHAPTER)

lint: $(STAMP)  ## style, types, imports, spelling; notebooks too
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@PATH="$(CURDIR)/$(BIN):$$PATH" nbqa codespell --nbqa-shell --nbqa-md chapters
	@$(BIN)/nbqa mypy chapters

test-site: site  ## open every page of the site in headless Chromium
	@$(BIN)/python -m book_tools.site.check _build/html

pdf: site  ## print the whole book to _build/pdf, in Chromium
	@$(BIN)/python -m book_tools.site.pdf

slides: site  ## write slides to _build/slides (CHAPTER="02 08")
	@$(BIN)/python -m book_tools.site.slides $(CHAPTER)

student: $(STAMP)  ## chapters without solutions, for students (CHAPTER="02 08")
	@$(BIN)/python -m book_tools.editions.archives student $(CHAPTER)

chapter: $(STAMP)  ## archives of chapters that run alone (CHAPTER="02 15")
	@$(BIN)/python -m book_tools.editions.archives chapter $(CHAPTER)

pages: $(STAMP)  ## write all that follows from chapters, tests and records
	@$(BIN)/python -m book_tools.pages

bench: $(STAMP)  ## time the package against its peers, as ratios
	@$(BIN)/python -m benchmarks

portability: $(STAMP)  ## the notebooks under other threads and instruction sets
	@$(BIN)/python -m book_tools.portability

mutants: $(STAMP)  ## break each formula: a test and a cell must notice
	@$(BIN)/python -m book_tools.mutants

mutation-score: $(STAMP)  ## the share of random changes that tests notice
	@$(BIN)/python -m book_tools.mutation_score

retrain: $(STAMP)  ## train every network (an hour; DATA=… CHAPTER=…)
	@$(BIN)/python -m experiments.retrain $(if $(DATA),--data "$(DATA)") $(if $(CHAPTER),--chapter "$(CHAPTER)")

adapt: $(STAMP)  ## what moves on other data (DATA=… CHAPTER=…)
	@$(BIN)/python -m book_tools.adapt "$(CHAPTER)" $(if $(DATA),DATA="$(DATA)")

results: $(STAMP)  ## measure all of data/results again (ten hours)
	@$(BIN)/python -m experiments $(filter-out peers,$(basename $(notdir $(wildcard data/results/*.json)))) --anew

result-%: $(STAMP)  ## measure one of them, such as result-merging
	@$(BIN)/python -m experiments $* --anew

LOWEST = $(shell sed -n 's/^requires-python = ">=\([0-9.]*\),.*/\1/p' pyproject.toml)

lock:  ## compile requirements.lock from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make: uv is needed to compile the lock: pip install uv" >&2; exit 1; }
	@uv pip compile pyproject.toml --quiet --universal --python-version $(LOWEST) --all-extras \
	  --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	  --output-file requirements.lock

env: $(STAMP)  ## create the environment (PYTHON=…, TORCH=keep)
	@[ -z "$(TORCH)" ] || [ -e $(VENV)/torch-kept ] || \
	  { echo "make: $(VENV) has a torch of its own; remove it and call make again" >&2; exit 1; }

clean:  ## remove _build: the site and its cache
	@rm -rf _build

$(STAMP): requirements.lock pyproject.toml book_tools/environment.sh book_tools/kept_torch.py
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" VENV="$(VENV)" BIN="$(BIN)" bash book_tools/environment.sh

$(INDEX): | $(STAMP)
	@$(BIN)/python -m book_tools.site.build --stored

.NOTPARALLEL:  # timings

.PHONY: help site serve book test lab refresh lint test-site pages bench portability mutants mutation-score \
  retrain adapt results lock env clean pdf slides student chapter
