# kvtools. make; make check; make install PREFIX=/usr DESTDIR=/tmp/pkg. See INSTALL.
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DATADIR    ?= $(PREFIX)/share
O          ?= out
CC         ?= cc
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
VERSION    := 0.1

PKGS := libcurl libcrypto libssl libzstd jansson libxxhash sqlite3 yaml-0.1
CPPFLAGS += -D_GNU_SOURCE -DKVTOOLS_VERSION='"$(VERSION)"' -Icommon -Icmd -MMD -MP
ifeq ($(shell $(PKG_CONFIG) --exists librdmacm libibverbs && echo yes),yes)
PKGS     += librdmacm libibverbs
CPPFLAGS += -DWITH_RDMA
endif
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wformat=2 $(WERROR)
CFLAGS_ALL  = $(WARN) $(CFLAGS) -pthread $(SAN:%=-fsanitize=% -fno-sanitize-recover=all) \
	$(shell $(PKG_CONFIG) --cflags $(PKGS))
LDLIBS_ALL  = $(LDFLAGS) -pthread $(SAN:%=-fsanitize=%) $(shell $(PKG_CONFIG) --libs $(PKGS)) -ldl -lm

TOOLS  := $(notdir $(basename $(wildcard cmd/kv*.c)))
SHARED := $(patsubst %.c,$(O)/%.o,$(filter-out $(TOOLS:%=cmd/%.c),$(wildcard cmd/*.c)))
LIB    := $(patsubst %.c,$(O)/%.o,$(wildcard common/*/*.c))
BENCH  := $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/*.c))
UNIT   := $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/*.c))
FUZZ   := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
SYSTEM := $(wildcard tests/*.t)

all: $(TOOLS:%=$(O)/%)

$(O)/kvstat: $(patsubst %.c,$(O)/%.o,$(wildcard cmd/kvstat/*.c))
$(TOOLS:%=$(O)/%): $(O)/%: $(O)/cmd/%.o $(SHARED) $(O)/libkv.a
	$(CC) $(CFLAGS_ALL) -o $@ $(filter %.o,$^) $(O)/libkv.a $(LDLIBS_ALL)

$(O)/libkv.a: $(LIB)
	rm -f $@ && $(AR) rcs $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -c -o $@ $<

$(O)/unit/%: $(O)/tests/unit/%.o $(O)/libkv.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL) -lcmocka

$(O)/bench/%: $(O)/tests/bench/%.o $(O)/libkv.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)

unit: $(UNIT)
	prove -e '' $(UNIT)

check: all $(UNIT)
	PATH="$(CURDIR)/$(O):$$PATH" KVTOOLS_OUT="$(CURDIR)/$(O)" prove -e '' $(UNIT)
	PATH="$(CURDIR)/$(O):$$PATH" KVTOOLS_OUT="$(CURDIR)/$(O)" prove $(PROVE_FLAGS) -e sh $(SYSTEM)

sanitize:
	ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99 $(MAKE) O=out-san SAN=address,undefined CFLAGS='-O1 -g' check

bench: all $(BENCH)
	for b in $(filter-out %/lib.sh,$(wildcard tests/bench/*.sh)); do \
		PATH="$(CURDIR)/$(O):$$PATH" KVTOOLS_OUT="$(CURDIR)/$(O)" sh "$$b" || exit; done

lint:
	tests/lint/layers.sh
	tests/lint/size.sh
	mandoc -Tlint -W warning man/*.[1-9]
	shellcheck -x $(SYSTEM) $(shell git ls-files '*.sh' 'tests/server/rdma-*' .ci/run)

# A small kernel with software RDMA for tests and benchmarks, built once (12 minutes of CPU).
rdma-kernel:
	tests/server/rdma-kernel

clean:
	rm -rf out out-*

-include $(wildcard $(O)/*/*.d $(O)/*/*/*.d $(O)/*/*/*/*.d)
.PHONY: all unit check sanitize bench lint clean rdma-kernel
.PRECIOUS: $(O)/%.o
