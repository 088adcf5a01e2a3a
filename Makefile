# demo: set-up, a real sweep on the embedded data, its best again on fresh seeds, dashboard, bundle.
# test: set-up and every check.
PYTHON ?= python3
BIN := .venv/bin
MINUTES ?= 60
comma := ,

.PHONY: demo test ruff mypy imports docs pytest pages soak bench bench-gpu bench-search bench-after chromium postgresql

demo: .venv/installed
	if [ -e sweeps/demo/study.yaml ]; then $(BIN)/heteroakd resume sweeps/demo; \
	else $(BIN)/heteroakd sweep demo.yaml --out sweeps/demo; fi
	$(BIN)/heteroakd confirm sweeps/demo --top 1 --seeds 6
	$(BIN)/heteroakd dashboard sweeps/demo
	$(BIN)/heteroakd export sweeps/demo --out sweeps/demo/best

test:
	@$(MAKE) --no-print-directory --jobs 2 .venv/installed-test postgresql
	@$(MAKE) --no-print-directory --jobs 5 ruff mypy imports docs pytest

# Compiled tests are kept, whatever the environment says: three processes read them, and each would rewrite all of them.
# What they write is small, much and flushed at once: it lies in memory where 4 GiB are free and programs may lie there.
pytest: .venv/installed-test
	@place=$$(mktemp -d -p "$$(grep -q ' /dev/shm tmpfs rw' /proc/mounts 2>/dev/null \
	&& ! grep ' /dev/shm ' /proc/mounts | grep -q noexec \
	&& [ "$$(df -Pk /dev/shm | awk 'END { print $$4 }')" -ge 4194304 ] && echo /dev/shm || echo "$${TMPDIR:-/tmp}")") \
	&& trap 'rm -rf "$$place"' EXIT && chmod 1777 "$$place" \
	&& TMPDIR="$$place" PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 \
	$(BIN)/pytest -n 3 --dist loadscope --no-loadscope-reorder

ruff: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy imports: .venv/installed-test
	$(BIN)/$(subst imports,lint-imports,$@)

# Drivers, workers, nodes and disks that die at ever new moments: `make soak MINUTES=60`, or with SEED=7 the same again.
soak: .venv/installed-test
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# The site of docs/, in site/; open site/index.html. Broken links and anchors fail. `make test` builds it too.
docs: .venv/installed-test
	$(BIN)/zensical build --strict --clean

# The parts of the pages that are made from the code and from benchmarks/*.json; a test fails where they are older.
pages: .venv/installed
	$(BIN)/python docs/generate.py

# How fast: the loop, sharing a teacher, the loss kernel, data, scaling. Each prints a table and writes its JSON.
bench: .venv/installed
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/sharing.py --sweep
	$(BIN)/python benchmarks/kernel.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/operators.py

# On a GPU, in at most eight minutes: its tests, the loop, sharing, kernels, memory, torch.compile. No Ray. Ends with 1
# if a part failed. `benchmarks/gpu.py --smoke` tries the command itself on a CPU.
bench-gpu: .venv/installed-test
	$(BIN)/python benchmarks/gpu.py

# Whether the statistics hold, whether every network leaves as a graph, and how fast the live dashboard is.
bench-after: .venv/installed-test
	$(BIN)/python benchmarks/sensitivity.py
	$(BIN)/python benchmarks/intervals.py
	$(BIN)/python benchmarks/exported.py
	$(BIN)/python benchmarks/quantised.py
	$(BIN)/python benchmarks/aware.py
	$(BIN)/python benchmarks/dashboard.py

# How good, and what the search engine costs.
bench-search: .venv/installed
	$(BIN)/python benchmarks/methods.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/regimes.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/storage.py
	$(BIN)/python benchmarks/thousand.py
	$(BIN)/python benchmarks/search.py --held-out --worlds 100
	$(BIN)/python benchmarks/stop_when.py
	$(BIN)/python benchmarks/transfer.py

define install
[ -d .venv ] || $(PYTHON) -m venv .venv
$(BIN)/python install.py "$(1)"
endef
# Compiled once, and no more than is imported: processes that start side by side would each compile all of it.
compile = -PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "$(strip $(foreach one,$(1),import $(one);))"
IMPORTED := trainables.run explorer.launch.sweep explorer.confirm.run explorer.bundle.export dashboards.report \
	explorer.statistics.sensitivity onnx onnxruntime onnxscript torch._dynamo
IMPORTED_TEST := dash moto.server mlflow transformers playwright.sync_api nbclient beartype pytest

.venv/installed: pyproject.toml constraints.txt
	$(call install,.[all])
	$(call compile,$(IMPORTED))
	touch $@

.venv/installed-test: pyproject.toml constraints.txt
	$(call install,.[docs$(comma)test])
	$(call compile,$(IMPORTED) $(IMPORTED_TEST))
	touch .venv/installed $@

# Without manual pages, which would have all of the machine's indexed anew.
APT := apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--path-exclude=/usr/share/man/*

# The browser tests need Chromium; where it cannot be installed they are skipped and say so.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && $(APT) chromium fonts-liberation; } \
	|| echo "No Chromium: the browser tests will be skipped."

# The PostgreSQL tests start a server of their own; the package must therefore make no cluster and start no service.
postgresql: chromium
	@command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	&& $(APT) postgresql-common \
	&& sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
	&& $(APT) postgresql; } \
	|| echo "No PostgreSQL: the tests that need a server will be skipped."
