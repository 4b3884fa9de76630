# The few commands of this repository; CONTRIBUTING.md says more about each.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Given to `headwater demo`, for instance ARGS=--exit.
ARGS ?=
# Random schedules of `simulate`, and kills of `crash`.
N ?= 10000
KILLS ?= 200
# How long `soak` lasts.
MINUTES ?= 30
comma := ,
# Given to every cargo build, for instance CARGO_FLAGS=--locked.
CARGO_FLAGS ?=

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
HEADWATER := "$(TARGET)/debug/headwater"
# What `demo` and `bench` run: the optimised binary where there is one that is not older than what it was made of.
OPTIMISED := $(TARGET)/release/headwater
MADE_OF := Cargo.toml Cargo.lock */Cargo.toml */src api/demo schemas/contracts/artifacts
PROFILE := $(shell cd "$(CURDIR)"; if [ -x "$(OPTIMISED)" ] && [ -z "$$(find $(MADE_OF) -newer "$(OPTIMISED)" -print -quit)" ]; then echo release; else echo debug; fi)
RUN := "$(TARGET)/$(PROFILE)/headwater"
CONTRACTS := $(CURDIR)/schemas/contracts
BENCH := $(CURDIR)/.headwater/bench
ATTRIBUTION_CASES := $(CURDIR)/.headwater/attribution.jsonl

# One place for the model, whichever of the binary and the tests looks for it.
export HEADWATER_MODELS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/headwater/models

.PHONY: help setup build install model demo contracts test simulate crash soak mutate-indexer lint bench bench-attribution bench-embed bench-embed-accuracy bench-gaming bench-generate bench-indexer bench-retrieval bench-scale verifier clean

help: ## Lists these targets
	@grep -hE '^[a-z-]+:.* ## ' "$(CURDIR)/Makefile" | sed -E 's/^([a-z-]+):.* ## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-20s %s\n' "$$name" "$$text"; done

setup: ## Installs what is missing to build and test; quick when nothing is
	@"$(CURDIR)/scripts/setup.sh"

# The whole workspace, as in `test`: with the same features nothing is compiled twice.
build: setup
	@echo "building headwater"
	@cargo build --workspace --bins $(CARGO_FLAGS)

install: setup ## Builds the optimised binary, which takes long the first time, and installs it where cargo does (~/.cargo/bin)
	@echo "building the optimised headwater: the first time everything it needs is compiled anew and optimised, which takes"
	@echo "more than twice as long as make build did; the bar counts what is left, and the last few take longest"
	@cargo install --path "$(CURDIR)/api" --bin headwater --locked $(CARGO_FLAGS)

# Does nothing when the model is there and intact.
model: build
	@$(HEADWATER) models pull

# Nothing is built where the optimised binary is used.
demo bench: $(if $(filter release,$(PROFILE)),setup,model)

demo: ## Runs the whole journey and leaves the service up; ARGS=--exit ends it
	@echo "running $(TARGET)/$(PROFILE)/headwater"
	@$(RUN) models pull
	@$(RUN) demo $(ARGS)

contracts: setup
	@echo "checking the contracts"
	@cd "$(CONTRACTS)" && npm run --silent check && npm run --silent test

test: contracts model ## Tests the contracts and the workspace: what CI runs
	@echo "testing the workspace"
	@cargo test --workspace $(CARGO_FLAGS)

verifier: ## Tests the verifier of receipts in TypeScript, which shares no code with the others
	@cd "$(CURDIR)/schemas/verifier" && npm ci --silent && npm test --silent

# A failing seed is printed with the variables that repeat it. Optimised, a schedule takes a seventh of the time: for
# many of them that build pays for itself.
simulate: setup ## Runs N random schedules of chain, faulty node and crashes against the oracle
	@HEADWATER_SIMULATE="$(N)" cargo test --workspace --lib $(shell [ "$(N)" -gt 20000 ] && echo --release) $(CARGO_FLAGS) -- --nocapture random_schedules_end_in_the_canonical_chain

crash: setup ## Kills an indexing process KILLS times on a live chain, and plays the long live reorganisations
	@HEADWATER_KILLS="$(KILLS)" cargo test --workspace --lib $(CARGO_FLAGS) -- --nocapture --ignored devchain::tests

# SOAK_SET="section.key=value …" changes settings of the service.
soak: model ## Runs a mix of everything for MINUTES and checks memory, disk, replies and what was acknowledged
	@SOAK_MINUTES="$(MINUTES)" cargo test --workspace --test journey $(CARGO_FLAGS) -- --ignored --nocapture --exact soak::soak

mutate-indexer: setup ## Plants known bugs in a copy of the indexer and prints how many the simulation catches
	@python3 "$(CURDIR)/indexer/mutants/score.py"

lint: setup ## Checks formatting, and clippy with warnings as errors
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets $(CARGO_FLAGS) -- -D warnings

bench: ## Runs the journey in a folder of its own and prints each step's time
	@rm -rf "$(BENCH)"
	@$(RUN) models pull
	@$(RUN) --json --data-dir "$(BENCH)" --set http.bind=127.0.0.1:0 demo --exit | node "$(CURDIR)/scripts/timings.mjs"

bench-embed: model ## Measures the embedder beside others, for a quarter of an hour; writes BENCHMARKS.md. ARGS: options of bench.py
	@cargo build --release --package engine --example bench_embed $(CARGO_FLAGS)
	@"$(CURDIR)/tests/bench/embed/run.sh" speed "$(TARGET)/release/examples/bench_embed" "$(HEADWATER_MODELS)" "$(CURDIR)/BENCHMARKS.md" $(ARGS)

bench-embed-accuracy: model ## Compares vectors, retrieval and token ids with sentence-transformers'; writes BENCHMARKS.md. ARGS: precisions
	@cargo build --release --package engine --example bench_embed $(CARGO_FLAGS)
	@"$(CURDIR)/tests/bench/embed/run.sh" accuracy "$(TARGET)/release/examples/bench_embed" "$(HEADWATER_MODELS)" "$(CURDIR)/BENCHMARKS.md" $(ARGS)

# PEERS, SIZES, ROUNDS and LIVE_S choose less than everything; tests/bench/indexer/bench.py says how.
bench-indexer: setup ## Measures the indexer beside others on one chain and writes BENCHMARKS.md; about an hour
	@python3 "$(CURDIR)/tests/bench/indexer/compile.py" --check
	@cargo build --release --workspace --bins $(CARGO_FLAGS)
	@python3 "$(CURDIR)/tests/bench/indexer/bench.py"

# SYBILS (1,4,20) chooses how many accounts each attack has.
bench-gaming: model ## Measures what gaming the attribution pays and writes BENCHMARKS.md; hours with twenty accounts, less with SYBILS=1
	@GAMING_TABLE="$(CURDIR)/BENCHMARKS.md" cargo test --release --workspace --test journey $(CARGO_FLAGS) -- --ignored --nocapture bench_gaming

# DATA, as for bench-retrieval, adds quoted answers over hotpotqa-100, xquad-en and clapnq-dev-a; the small reader needs nothing.
# PEERS=1 adds ContextCite's own package on the reader's answers, which installs several GB.
bench-attribution: ## Measures what pays beside other estimators on a small reader, with DATA=FOLDER on quoted answers too; writes BENCHMARKS.md
	@[ -z "$(DATA)" ] || [ -d "$(DATA)" ] || { echo "make bench-attribution: DATA=$(DATA) is no folder that is there" >&2; exit 2; }
	@$(MAKE) $(if $(DATA),model,setup)
	@mkdir -p "$(dir $(ATTRIBUTION_CASES))"
	@HEADWATER_DATA="$(if $(DATA),$(abspath $(DATA)))" HEADWATER_MINILM="$(HEADWATER_MODELS)/all-MiniLM-L6-v2" ATTRIBUTION_TABLE="$(CURDIR)/BENCHMARKS.md" \
		ATTRIBUTION_CASES="$(if $(PEERS),$(ATTRIBUTION_CASES))" cargo test --workspace --lib $(CARGO_FLAGS) -- --ignored --nocapture bench_attribution
	@[ -z "$(PEERS)" ] || "$(CURDIR)/tests/bench/attribution/run.sh" "$(ATTRIBUTION_CASES)" "$(CURDIR)/tests/fixtures/reader" "$(CURDIR)/BENCHMARKS.md"

# DATA is a folder of evaluation sets, each with passages.jsonl and queries.jsonl (rag/src/tests/retrieval.rs names them).
bench-retrieval: ## Measures search by words, by vectors and by both on DATA's sets and writes BENCHMARKS.md; a quarter of an hour
	@[ -d "$(DATA)" ] || { echo "make bench-retrieval needs DATA=FOLDER, a folder that is there" >&2; exit 2; }
	@$(MAKE) model
	@HEADWATER_DATA="$(abspath $(DATA))" HEADWATER_MINILM="$(HEADWATER_MODELS)/all-MiniLM-L6-v2" RETRIEVAL_TABLE="$(CURDIR)/BENCHMARKS.md" \
		cargo test --workspace --lib $(CARGO_FLAGS) -- --ignored --nocapture bench_retrieval

# SIZES (135M,0.5B,1.7B) and ROUNDS choose less than everything.
bench-generate: ## Measures the decoder beside llama.cpp and transformers and writes BENCHMARKS.md; half an hour and 16 GB
	@cargo build --release --package engine --example bench_generate --example bench_score $(CARGO_FLAGS)
	@"$(CURDIR)/tests/bench/generate/run.sh" "$(TARGET)/release/examples" "$(CURDIR)/BENCHMARKS.md" $(ARGS)

# SIZES, RECEIPTS (1k,10k,100k) and LOGS (10k,100k,1m) choose how much there is of each; an empty one leaves it out.
# PEERS=FOLDER measures retrieval at the largest of the sizes beside lancedb, tantivy and faiss too; the folder takes their copies.
bench-scale: ## Measures what growing Datanets, receipts and logs cost and writes BENCHMARKS.md; minutes, hours with SIZES=1m
	@HEADWATER_SCALE_EXPORT="$(PEERS)" SCALE_TABLE="$(CURDIR)/BENCHMARKS.md" cargo test --release --workspace --test journey $(CARGO_FLAGS) -- --ignored --nocapture bench_scale
	@[ -z "$(PEERS)" ] || "$(CURDIR)/tests/bench/scale/run.sh" "$(PEERS)" "$(CURDIR)/BENCHMARKS.md" "$(or $(lastword $(subst $(comma), ,$(SIZES))),100k)"

clean: ## Removes what was built and what the demo keeps; leaves models and npm packages
	@cargo clean
	@rm -rf "$(CURDIR)/.headwater" "$(CONTRACTS)/out" "$(CONTRACTS)/cache"
