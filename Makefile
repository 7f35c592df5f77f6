# kvtools. make; make check; make install PREFIX=/usr DESTDIR=/tmp/pkg. See INSTALL.
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DATADIR    ?= $(PREFIX)/share
DOCDIR     ?= $(DATADIR)/doc/kvtools
BASHDIR    ?= $(DATADIR)/bash-completion/completions
ZSHDIR     ?= $(DATADIR)/zsh/site-functions
FISHDIR    ?= $(DATADIR)/fish/vendor_completions.d
UNITDIR    ?= $(PREFIX)/lib/systemd/system
O          ?= out
CC         ?= cc
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
VERSION    := 0.1

# Those that are opened when first needed (common/lib) are not linked with
PKGS   := libzstd jansson libxxhash yaml-0.1
OPENED := libcurl libssl sqlite3
CPPFLAGS += -D_GNU_SOURCE -DKVTOOLS_VERSION='"$(VERSION)"' -Icommon -Icmd -MMD -MP
ifeq ($(shell $(PKG_CONFIG) --exists librdmacm libibverbs && echo yes),yes)
OPENED   += librdmacm libibverbs
CPPFLAGS += -DWITH_RDMA
endif
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wformat=2 $(WERROR)
CFLAGS_ALL  = $(WARN) $(CFLAGS) -pthread $(SAN:%=-fsanitize=% -fno-sanitize-recover=all) \
	$(shell $(PKG_CONFIG) --cflags $(PKGS) $(OPENED))
LDLIBS_ALL  = -Wl,--as-needed $(LDFLAGS) -pthread $(SAN:%=-fsanitize=%) \
	$(shell $(PKG_CONFIG) --libs $(PKGS)) -ldl -lm

TOOLS  := $(notdir $(basename $(wildcard cmd/kv*.c)))
SHARED := $(patsubst %.c,$(O)/%.o,$(filter-out $(TOOLS:%=cmd/%.c),$(wildcard cmd/*.c)))
LIB    := $(patsubst %.c,$(O)/%.o,$(wildcard common/*/*.c))
BENCH  := $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/*.c))
UNIT   := $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/*.c))
FUZZ   := $(filter-out main,$(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
SYSTEM := $(wildcard tests/*.t)

all: $(TOOLS:%=$(O)/%)

$(O)/kvsend: $(patsubst %.c,$(O)/%.o,$(wildcard cmd/kvsend/*.c))
$(O)/kvstat: $(patsubst %.c,$(O)/%.o,$(wildcard cmd/kvstat/*.c))
$(O)/kvevict: $(patsubst %.c,$(O)/%.o,$(wildcard cmd/kvevict/*.c))
$(TOOLS:%=$(O)/%): $(O)/%: $(O)/cmd/%.o $(SHARED) $(O)/libkv.a
	$(CC) $(CFLAGS_ALL) -o $@ $(filter %.o,$^) $(O)/libkv.a $(LDLIBS_ALL)

$(O)/libkv.a: $(LIB)
	rm -f $@ && $(AR) rcs $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -c -o $@ $<

$(O)/unit/lib: LDFLAGS += -rdynamic
$(O)/unit/%: $(O)/tests/unit/%.o $(O)/libkv.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL) -lcmocka

$(O)/bench/%: $(O)/tests/bench/%.o $(O)/libkv.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)

# With a plain main a fuzz target replays its corpus; make fuzz gives it clang's.
FUZZ_MAIN ?= $(O)/tests/fuzz/main.o
$(O)/fuzz/%: $(O)/tests/fuzz/%.o $(FUZZ_MAIN) $(O)/libkv.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(FUZZ_LINK) -o $@ $^ $(LDLIBS_ALL)

unit: $(UNIT)
	prove -e '' $(UNIT)

tests: all $(UNIT) $(FUZZ:%=$(O)/fuzz/%)

check: tests
	@rc=0; export PATH="$(CURDIR)/$(O):$$PATH" KVTOOLS_OUT="$(CURDIR)/$(O)"; \
	prove $(PROVE_FLAGS) -e '' $(UNIT) || rc=1; \
	prove $(PROVE_FLAGS) -e sh $(SYSTEM) || rc=1; exit $$rc

sanitize:
	ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99 $(MAKE) O=out-san SAN=address,undefined CFLAGS='-O1 -g' check

# Each target for FUZZ_SECONDS, on from its corpus; what it finds lies in out-fuzz.
FUZZ_SECONDS ?= 60
fuzz:
	$(MAKE) O=out-fuzz CC=clang SAN=address,undefined CFLAGS='-O1 -g -fsanitize=fuzzer-no-link' \
		FUZZ_MAIN= FUZZ_LINK=-fsanitize=fuzzer $(FUZZ:%=out-fuzz/fuzz/%)
	for f in $(FUZZ); do mkdir -p out-fuzz/new/$$f; \
		out-fuzz/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=20 \
			-artifact_prefix=out-fuzz/$$f- out-fuzz/new/$$f \
			$$(ls -d tests/fuzz/corpus/$$f 2>/dev/null) || exit; done

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

demo:
	sh scripts/demo.sh

INSTALL_PROGRAM ?= install -m 755
INSTALL_DATA    ?= install -m 644
PAGES := $(wildcard man/*.[1-9])
UNITS := $(wildcard scripts/systemd/*.service scripts/systemd/*.timer)
EXAMPLES := $(patsubst scripts/%,%,$(wildcard $(addprefix scripts/,cron/* grafana/* kubernetes/*)))
COMPLETIONS = $(foreach t,$(TOOLS),$(BASHDIR)/$t $(ZSHDIR)/_$t $(FISHDIR)/$t.fish)

install: all
	install -d $(foreach d,$(BINDIR) $(MANDIR)/man1 $(MANDIR)/man5 $(MANDIR)/man7 $(BASHDIR) \
		$(ZSHDIR) $(FISHDIR) $(DOCDIR) $(UNITDIR),"$(DESTDIR)$d")
	$(INSTALL_PROGRAM) $(TOOLS:%=$(O)/%) "$(DESTDIR)$(BINDIR)"
	for p in $(PAGES); do $(INSTALL_DATA) $$p "$(DESTDIR)$(MANDIR)/man$${p##*.}" || exit; done
	for t in $(TOOLS); do \
		$(O)/$$t --completion bash >"$(DESTDIR)$(BASHDIR)/$$t" && \
		$(O)/$$t --completion zsh >"$(DESTDIR)$(ZSHDIR)/_$$t" && \
		$(O)/$$t --completion fish >"$(DESTDIR)$(FISHDIR)/$$t.fish" || exit; done
	for u in $(UNITS); do to="$(DESTDIR)$(UNITDIR)/$${u##*/}"; \
		sed 's,=/usr/bin/kv,=$(BINDIR)/kv,' $$u >"$$to" && chmod 644 "$$to" || exit; done
	$(INSTALL_DATA) README.md INSTALL LICENSE "$(DESTDIR)$(DOCDIR)"
	for e in $(EXAMPLES); do install -d "$(DESTDIR)$(DOCDIR)/examples/$${e%/*}" && \
		$(INSTALL_DATA) scripts/$$e "$(DESTDIR)$(DOCDIR)/examples/$$e" || exit; done

uninstall:
	rm -f $(foreach f,$(TOOLS:%=$(BINDIR)/%) $(COMPLETIONS) $(UNITS:scripts/systemd/%=$(UNITDIR)/%) \
		$(foreach p,$(PAGES),$(MANDIR)/man$(subst .,,$(suffix $p))/$(notdir $p)),"$(DESTDIR)$f")
	rm -rf "$(DESTDIR)$(DOCDIR)"

dist:
	git archive --format=tar --prefix=kvtools-$(VERSION)/ HEAD | gzip -9n >kvtools-$(VERSION).tar.gz

clean:
	rm -rf out out-*

-include $(wildcard $(O)/*/*.d $(O)/*/*/*.d $(O)/*/*/*/*.d)
.PHONY: all unit tests check sanitize fuzz bench lint demo install uninstall dist clean rdma-kernel
.PRECIOUS: $(O)/%.o
