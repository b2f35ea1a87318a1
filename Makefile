# barge: everything by hand, everything here. `make help` lists the targets.

BUILD     ?= build
CC        ?= cc
OPT       ?= -O2
SANITIZE  ?=
PREFIX    ?= /usr/local

PACKAGES  := zlib libcurl yajl yaml-0.1 libmicrohttpd
DEB_BUILD := gcc make pkg-config zlib1g-dev libcurl4-openssl-dev libyajl-dev libyaml-dev libmicrohttpd-dev
DEB_TEST  := libcmocka-dev python3 python3-pytest
WARN      := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion
HARDEN    := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
CFLAGS    ?= $(OPT) -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(WARN) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer,$(HARDEN)) \
             $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) $(CFLAGS)
ALL_LIBS   = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lpthread
ALL_LDFLAGS = $(if $(SANITIZE),-fsanitize=$(SANITIZE),-pie -Wl,-z,relro,-z,now) $(LDFLAGS)

SRC   := $(sort $(wildcard agent/*.c agent/*/*.c agent/*/*/*.c parsers/*.c outputs/*.c outputs/*/*.c))
LIB   := $(filter-out agent/main.c,$(SRC))
OBJ   := $(SRC:%.c=$(BUILD)/%.o)
UNITS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BINS := $(UNITS:tests/unit/%.c=$(BUILD)/unit/%)

.PHONY: all
all: check-deps $(BUILD)/barge

.PHONY: check-deps
check-deps:
	@pkg-config --exists $(PACKAGES) 2>/dev/null || { echo "headers are missing: run 'make deps', or install $(DEB_BUILD)" >&2; exit 1; }

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libbarge.a: $(LIB:%.c=$(BUILD)/%.o)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/barge: $(BUILD)/agent/main.o $(BUILD)/libbarge.a
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(ALL_LIBS)

# A unit test links what it needs from the library, and may bring its own io.c as tests/unit/NAME.io.c.
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libbarge.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d $< $(BUILD)/libbarge.a -o $@ $(ALL_LDFLAGS) $(ALL_LIBS) -lcmocka

.PHONY: test-unit
test-unit: $(UNIT_BINS)
	@set -e; for t in $(UNIT_BINS); do echo "== $$t"; $$t; done

-include $(OBJ:.o=.d) $(UNIT_BINS:=.d)
